#include "framework/program/commands/doctor.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "framework/core/build.h"
#include "framework/core/number.h"
#include "framework/core/text.h"
#include "framework/core/threads.h"
#include "framework/io/file.h"
#include "framework/kernels/dispatch.h"
#include "framework/kernels/matmul.h"
#include "framework/measure/machine.h"
#include "framework/plan/probe/cluster.h"
#include "framework/program/commands/command_line.h"
#include "framework/program/world.h"
#include "parallel/comm/launched.h"
#include "parallel/comm/together.h"

namespace og {

namespace {

bool has_program(const std::string& name) {
  return std::system(("command -v " + name + " >/dev/null 2>&1").c_str()) == 0;
}

// The value of the first line that begins with `key` in a /proc file.
std::string proc_value(const std::string& path, const std::string& key) {
  FILE* file = std::fopen(path.c_str(), "r");
  if (file == nullptr) return "unknown";
  char line[512];
  std::string value = "unknown";
  while (value == "unknown" && std::fgets(line, sizeof line, file))
    if (std::string text = line; text.starts_with(key))
      if (const size_t colon = text.find(':'); colon != std::string::npos) {
        const size_t begin = text.find_first_not_of(" \t", colon + 1);
        value = begin == std::string::npos ? "" : text.substr(begin, text.find_last_not_of(" \t\n") - begin + 1);
      }
  std::fclose(file);
  return value;
}

int measure(const std::string& path) {
  return run_in_world(300, [&](Comm& world) {
    // A minute of measuring is not lost to a folder that is not there.
    together(world, Sites::startup, [&] {
      if (world.rank() != 0) return;
      if (const auto problem = why_unwritable(path))
        fail(Status::usage, "--measure: cannot write {}: {}", path, problem->text);
    });
    const Cluster cluster = measure_cluster(world, "auto");
    if (world.rank() != 0) return 0;
    replace_text(path, to_yaml(cluster));
    std::printf("%swritten to %s\n", to_yaml(cluster).c_str(), path.c_str());
    return 0;
  });
}

}  // namespace

int doctor_command(const std::vector<std::string>& args) {
  CommandLine line("onegather doctor", "Says what this machine has and can do, and what is missing.");
  bool quick = false;
  std::string cluster;
  line.add_flag("--no-measure", quick, "leave out the measurements");
  line.add("--measure", cluster, "measure this machine for `onegather plan` and write the cluster to this file");
  if (!line.parse(args)) return 0;
  if (!cluster.empty()) return measure(cluster);
  const auto row = [](const char* name, const std::string& value) { std::printf("%-16s %s\n", name, value.c_str()); };

  row("onegather", build());
  row("processor", proc_value("/proc/cpuinfo", "model name"));
  row("cores", fmt::format("{} usable", hardware_threads()));
  const auto memory = [](const char* key) {
    return human_bytes(1024 * std::atof(proc_value("/proc/meminfo", key).c_str()));
  };
  row("memory", memory("MemTotal") + ", available " + memory("MemAvailable"));
  row("kernels", fmt::format("{} (ONEGATHER_ISA=avx2 or base takes an older one)", name_of(best_isa())));
  row("products", fmt::format("{}; bf16 {}", matmul_library_name(),
                              bf16_is_native() ? "native: train.precision auto means bf16"
                                               : "not native: train.precision auto means f32"));
  const int launched = launched_ranks();
  row("ranks", launched == 0 ? "one (not started by mpirun or srun)" : fmt::format("{} by the launcher", launched));
  row("devices", "cpu; no CUDA back end in this build");
  int missing = 0;
  for (const auto& [program, reason] :
       {std::pair<const char*, const char*>{"mpirun", "several ranks: apt-get install openmpi-bin"},
        {"gnuplot", "loss.png: apt-get install gnuplot-nox"}}) {
    const bool found = has_program(program);
    missing += !found;
    row(program, found ? "found" : std::string("MISSING, needed for ") + reason);
  }
  if (!quick) {
    Stream stream;
    stream.num_threads = default_threads();
    set_thread_count(stream.num_threads);
    row("f32 products", human_rate(measure_gemm(stream, 1024, 5)) +
                            fmt::format(" (1024-cube, {}, best of 5)", counted(stream.num_threads, "thread")));
    if (bf16_is_native()) {
      stream.products = Products::bf16;
      row("bf16 products", human_rate(measure_gemm(stream, 1024, 5)) + " (rounding of the inputs included)");
    }
    row("memory rate", human_bytes(measure_memory(stream, 1 << 24, 5)) + "/s (y = a + b over 192 MiB, best of 5)");
  }
  row("verdict", missing == 0 ? "nothing is missing" : fmt::format("{} missing, see above", missing));
  return 0;
}

}  // namespace og
