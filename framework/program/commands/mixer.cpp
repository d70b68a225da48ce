#include "framework/program/commands/mixer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "framework/config/value.h"
#include "framework/core/log.h"
#include "framework/core/text.h"
#include "framework/core/threads.h"
#include "framework/io/safetensors.h"
#include "framework/program/commands/command_line.h"
#include "framework/program/mixer_run.h"

namespace og {

namespace {

// The mixers that can be run alone.
std::vector<std::string> names() {
  std::vector<std::string> all;
  for (const MixerType& t : mixer_types())
    if (!t.recurrence.formula.empty()) all.push_back(t.name);
  return all;
}

const MixerType& find_type(const std::string& name) {
  const MixerType* type = find_mixer_type(name);
  if (type && !type->recurrence.formula.empty()) return *type;
  fail(Status::usage, "mixer: no mixer is called \"{}\"; there are {}", name, fmt::join(names(), ", "));
}

OptionValue parse_value(const OptionSpec& spec, const std::string& text) {
  YamlNode node;
  node.kind = text == "null" ? YamlNode::Kind::null : YamlNode::Kind::scalar;
  node.text = text;
  OptionValue value;
  if (const auto problem = read_value(spec, node, value))
    fail(Status::usage, "mixer: option {}: {}", spec.name, problem->text);
  return value;
}

// The type's own options: --name value, --name=value or name=value; a lone --name of a boolean is true.
Options parse_options(const MixerType& type, const std::vector<std::string>& words) {
  const std::vector<OptionSpec>& specs = type.recurrence.options;
  Options options = options_of(type.name, specs, "mixer " + type.name);
  for (size_t i = 0; i < words.size(); ++i) {
    const bool dashed = words[i].rfind("--", 0) == 0;
    const std::string word = dashed ? words[i].substr(2) : words[i];
    const size_t equals = word.find('=');
    std::string name = word.substr(0, equals);
    std::replace(name.begin(), name.end(), '-', '_');
    auto spec = std::find_if(specs.begin(), specs.end(), [&](const OptionSpec& s) { return s.name == name; });
    if (spec == specs.end() || (!dashed && equals == std::string::npos)) {
      std::vector<std::string> known;
      for (const OptionSpec& s : specs) known.push_back("--" + s.name);
      fail(Status::usage, "mixer {}: unknown argument {}; {}", type.name, words[i],
           known.empty() ? "this mixer has no options of its own"
                         : fmt::format("its own options are {}", fmt::join(known, ", ")));
    }
    if (equals != std::string::npos) {
      options.values[name] = parse_value(*spec, word.substr(equals + 1));
    } else if (i + 1 < words.size() && words[i + 1].rfind("--", 0) != 0) {
      options.values[name] = parse_value(*spec, words[++i]);
    } else if (spec->kind == OptionSpec::Kind::boolean) {
      options.values[name] = true;
    } else {
      fail(Status::usage, "mixer {}: option {} needs a value", type.name, spec->name);
    }
  }
  return options;
}

void describe(const MixerType& type) {
  std::string text = fmt::format("{}: {}\n\ninputs\n", type.name, type.recurrence.formula);
  const auto line = [&](const std::string& name, const std::string& shape, const std::string& help) {
    text += fmt::format("  {:<14} {:<12} {}\n", name, shape, help);
  };
  bool shared = false;
  for (const StreamSpec& s : type.recurrence.streams) {
    std::string shape;
    for (char c : s.dims) shape += std::string(shape.empty() ? "[" : ",") + c;
    line(s.name, shape + "]", s.help + (s.required ? "" : " (optional)"));
    shared = shared || s.dims.find('G') != std::string::npos;
  }
  if (type.recurrence.has_state) line("initial_state", "[B,H,K,V]", "optional; with cu_seqlens [N,H,K,V] or [1,H,K,V]");
  line("cu_seqlens", "[N+1]", "optional, whole numbers: borders of packed documents, B = 1");
  line("scale", "[] or [1]", "optional, multiplies q");
  line("do", "[B,T,H,V]", "optional: gradients are written too");
  if (type.recurrence.has_state) line("dfinal_state", "as final_state", "optional");
  if (shared) text += "  G divides H, the most heads of q, k and v; head h reads group h / (H / G)\n";
  text += "\noutputs\n";
  line("o", "[B,T,H,V]", "");
  if (type.recurrence.has_state)
    line("final_state", "[B,H,K,V]", "with cu_seqlens and no initial_state [1,H,K,V]: [N,H,K,V]");
  line("d + name", "", "of every input, with do or dfinal_state");
  if (!type.recurrence.options.empty()) text += "\noptions\n";
  for (const OptionSpec& s : type.recurrence.options)
    text += fmt::format("  --{} (default {}) {}{}\n", s.name, to_text(s.fallback), s.help,
                        s.choices.empty() ? "" : fmt::format(": {}", fmt::join(s.choices, ", ")));
  std::fputs(wrapped(text).c_str(), stdout);
}

void run(const MixerRun& settings, const std::string& input, const std::string& output) {
  const auto pool = Pool::create();
  const SafetensorsFile file(input);
  std::vector<std::string> known{"initial_state", "cu_seqlens", "scale", "do", "dfinal_state"};
  for (const StreamSpec& s : settings.type->recurrence.streams) known.push_back(s.name);
  NamedTensors inputs;
  for (const SafetensorsEntry& entry : file.entries()) {
    if (std::find(known.begin(), known.end(), entry.name) != known.end())
      inputs[entry.name] = file.read(*pool, entry);
    else
      log::warning("{}: tensor {} is not an input of {}; not read", input, entry.name, settings.type->name);
  }
  std::vector<NamedTensor> results;
  for (const auto& [name, tensor] : run_mixer(settings, inputs, input)) results.push_back({name, tensor});
  write_safetensors(output, results, {{"mixer", settings.type->name}});
}

// The position of `text` in `words`, or a user's error.
size_t choose(const char* option, const std::string& text, const std::vector<std::string>& words) {
  auto found = std::find(words.begin(), words.end(), text);
  if (found == words.end())
    fail(Status::usage, "mixer: {}: expected one of {}, found \"{}\"", option, fmt::join(words, ", "), text);
  return static_cast<size_t>(found - words.begin());
}

}  // namespace

int mixer_command(const std::vector<std::string>& args) {
  CommandLine line("onegather mixer", "Runs one sequence mixer on tensors from a safetensors file.");
  std::string name, input, output, form = "chunked", backend = "cpu";
  MixerRun settings;
  settings.threads = std::max(1, requested_threads());
  bool list = false, wants_description = false;
  line.add("NAME", name, "the mixer; --list prints the names");
  line.add_flag("--list", list, "print the names of the mixers");
  line.add_flag("--describe", wants_description, "print the mixer's inputs, outputs and options");
  line.add("--input", input, "safetensors file with the streams (F32 or F64)");
  line.add("--output", output, "safetensors file to write");
  line.add("--form", form, "recurrent, chunked or decode");
  line.add("--chunk", settings.chunk, "tokens of a chunk, for --form chunked", Bound::positive);
  line.add("--backend", backend, "ref, cpu or cuda; f64 always runs in ref");
  line.add("--ranks", settings.ranks, "split the sequence over this many thread ranks", Bound::positive);
  line.add("--threads", settings.threads, "threads of each rank; OMP_NUM_THREADS, else 1, unless told",
           Bound::positive);
  line.allow_unknown();
  if (!line.parse(args)) return 0;
  if (list) {
    for (const std::string& n : names()) std::printf("%s\n", n.c_str());
    return 0;
  }
  if (name.empty()) fail(Status::usage, "mixer: which one? onegather mixer NAME; --list prints the names");
  settings.type = &find_type(name);
  if (wants_description) {
    describe(*settings.type);
    return 0;
  }
  settings.options = parse_options(*settings.type, line.unknown());
  settings.form = static_cast<MixerRun::Form>(choose("--form", form, {"recurrent", "chunked", "decode"}));
  settings.backend = static_cast<Backend>(choose("--backend", backend, {"ref", "cpu", "cuda"}));
  if (settings.backend == Backend::cuda)
    fail(Status::usage, "mixer: --backend cuda: this program was built without CUDA; there are ref and cpu");
  if (settings.ranks > 64)
    fail(Status::usage, "mixer: --ranks: expected a whole number from 1 to 64, found {}", settings.ranks);
  if (input.empty() || output.empty()) fail(Status::usage, "mixer: --input and --output are needed");
  run(settings, input, output);
  return 0;
}

}  // namespace og
