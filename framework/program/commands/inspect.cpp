#include "framework/program/commands/inspect.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "framework/data/token_file.h"
#include "framework/io/checkpoint.h"
#include "framework/io/safetensors.h"
#include "framework/io/yaml.h"

namespace og {

namespace {

namespace fs = std::filesystem;

constexpr const char* kHelp =
    "usage: onegather inspect PATH [--json]\n\n"
    "PATH: a checkpoint, a run folder (its newest checkpoint is verified), a token\n"
    "file or a safetensors file. Every byte that has a checksum is compared with it.\n"
    "--json: the same as one line of JSON. Exit status 3: damaged, or something else.\n";

Json shape_of(const Shape& shape) {
  Json list = Json::array();
  for (int i = 0; i < shape.rank(); ++i) list.push(shape[i]);
  return list;
}

Json inspect_checkpoint(const std::string& folder) {
  const Checkpoint checkpoint(folder);
  checkpoint.verify();
  int64_t bytes = 0, weights = 0;
  for (const Checkpoint::File& file : checkpoint.files()) bytes += file.bytes;
  Json tensors = Json::array();
  for (const CheckpointEntry& entry : checkpoint.entries()) {
    if (!entry.name.starts_with("optimizer.")) weights += entry.shape.count();
    tensors.push(Json::object({{"name", entry.name},
                               {"type", name_of(entry.dtype)},
                               {"shape", shape_of(entry.shape)},
                               {"boxes", static_cast<int64_t>(entry.boxes.size())}}));
  }
  Json report = Json::object({{"kind", "checkpoint"}, {"path", folder}});
  report.set("checksums", "all as saved")
      .set("files", static_cast<int64_t>(checkpoint.files().size()))
      .set("bytes", bytes)
      .set("elements_without_optimizer", weights)
      .set("metadata", checkpoint.metadata())
      .set("tensors", std::move(tensors));
  return report;
}

Json last_metrics(const std::string& path) {
  const std::string text = read_text(path);
  // The last line that is whole: a run that was killed may have torn one.
  size_t end = text.rfind('\n');
  if (end == std::string::npos) return {};
  const size_t begin = end == 0 ? std::string::npos : text.rfind('\n', end - 1);
  const size_t first = begin == std::string::npos ? 0 : begin + 1;
  return Json::parse(std::string_view(text).substr(first, end - first), path);
}

Json inspect_run(const std::string& folder) {
  Json report = Json::object({{"kind", "run folder"}, {"path", folder}});
  if (fs::exists(folder + "/metrics.jsonl")) report.set("last_metrics", last_metrics(folder + "/metrics.jsonl"));
  Json names = Json::array();
  const std::vector<std::string> checkpoints = list_checkpoints(folder);
  for (const std::string& path : checkpoints) names.push(path);
  report.set("checkpoints", std::move(names));
  if (!checkpoints.empty()) report.set("newest", inspect_checkpoint(checkpoints.back()));
  return report;
}

Json inspect_tokens(const std::string& path) {
  const TokenFile file(path, true);
  return Json::object({{"kind", "token file"},
                       {"path", path},
                       {"checksums", "all as saved"},
                       {"documents", file.num_documents()},
                       {"tokens", file.num_tokens()},
                       {"vocab_size", file.vocab_size()},
                       {"skipped_lines", file.skipped_lines()},
                       {"tokenizer", file.tokenizer()}});
}

Json inspect_tensors(const std::string& path) {
  const SafetensorsFile file(path);
  Json metadata = Json::object(), tensors = Json::array();
  for (const auto& [key, value] : file.metadata()) metadata.set(key, value);
  for (const SafetensorsEntry& e : file.entries())
    tensors.push(Json::object({{"name", e.name}, {"type", e.type}, {"shape", shape_of(e.shape)}}));
  Json report = Json::object({{"kind", "safetensors file"}, {"path", path}});
  report.set("metadata", std::move(metadata)).set("tensors", std::move(tensors));
  return report;
}

// What a file is that this command does not read, and which one does.
std::optional<Problem> other_kind(const std::string& path) {
  const std::string name = fs::path(path).extension().string();
  if (name == ".yaml" || name == ".yml") {
    const YamlNode root = parse_yaml(read_text(path), path);
    const auto has = [&](const char* key) {
      return std::any_of(root.entries.begin(), root.entries.end(), [&](const auto& e) { return e.first.text == key; });
    };
    if (has("model") || has("train") || has("data") || has("include"))
      return Problem{
          fmt::format("a config (YAML); onegather train {} --dry-run shows every key and where it is from", path)};
    if (has("devices_per_node") || has("nodes"))
      return Problem{fmt::format("a cluster (YAML); onegather plan CONFIG --cluster {} reads it", path)};
    return Problem{"YAML, neither a config (no model, data or train) nor a cluster (no nodes)"};
  }
  for (const char* text : {".txt", ".jsonl", ".json", ".ndjson", ".gz", ".zst"})
    if (name == text) return Problem{fmt::format("text; onegather data inspect {} shows the documents in it", path)};
  const MappedFile file(path);
  const std::string_view bytes(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  // Safetensors begin with eight bytes, the length of the header, which is JSON.
  if (name == ".safetensors" || (bytes.size() > 8 && bytes[8] == '{')) return std::nullopt;
  const char* what = bytes.starts_with("\x89PNG") ? "a picture (PNG)"
                     : name == ".model"
                         ? "a tokenizer's file by its name; data.tokenizer: sentencepiece:PATH reads those"
                         : "neither a token file nor a safetensors file";
  return Problem{fmt::format("{}; inspect reads checkpoints, run folders, token files and safetensors files", what)};
}

Json inspect(const std::string& path) {
  std::error_code error;
  if (!fs::exists(path, error)) fail(Status::data, "{}: no such file or folder{}", path, did_you_mean_checkpoint(path));
  if (fs::is_directory(path)) {
    if (fs::exists(path + "/index.json")) return inspect_checkpoint(path);
    for (const char* name : {"/config.yaml", "/metrics.jsonl", "/checkpoints"})
      if (fs::exists(path + name)) return inspect_run(path);
    fail(Status::data, "{}: neither a checkpoint (no index.json) nor a run folder (no config.yaml)", path);
  }
  if (TokenFile::is_token_file(path)) return inspect_tokens(path);
  if (const auto problem = other_kind(path)) fail(Status::data, "{}: {}", path, problem->text);
  return inspect_tensors(path);
}

std::string indented(const std::string& text, const std::string& margin) {
  std::string out;
  for (char c : text) {
    out += c;
    if (c == '\n') out += margin;
  }
  return out;
}

// Objects as "key: value" lines, lists of plain objects as one line each.
void print(const Json& value, const std::string& margin) {
  for (const auto& [key, member] : value.members()) {
    const bool is_list = member.kind() == Json::Kind::array;
    if (member.kind() == Json::Kind::object && !member.members().empty()) {
      std::printf("%s%s:\n", margin.c_str(), key.c_str());
      print(member, margin + "  ");
    } else if (is_list && !member.items().empty()) {
      std::printf("%s%s:\n", margin.c_str(), key.c_str());
      for (const Json& item : member.items()) {
        std::string line;
        for (const auto& [name, part] :
             item.kind() == Json::Kind::object ? item.members() : std::vector<Json::Member>{})
          line += (line.empty() ? "" : "  ") + (name == "boxes"
                                                    ? "in " + part.dump() + (part.integer() == 1 ? " box" : " boxes")
                                                : part.kind() == Json::Kind::string ? part.string()
                                                                                    : part.dump());
        if (item.kind() == Json::Kind::string) line = item.string();
        std::printf("%s  %s\n", margin.c_str(), line.empty() ? item.dump().c_str() : line.c_str());
      }
    } else if (member.kind() == Json::Kind::string) {
      const bool block = member.string().find('\n') != std::string::npos;
      const std::string text = block ? indented("\n" + member.string(), margin + "  ") : member.string();
      std::printf("%s%s: %s\n", margin.c_str(), key.c_str(), text.c_str());
    } else {
      std::printf("%s%s: %s\n", margin.c_str(), key.c_str(), member.dump().c_str());
    }
  }
}

}  // namespace

int inspect_command(const std::vector<std::string>& args) {
  std::string path;
  bool json = false;
  for (const std::string& arg : args) {
    if (arg == "--help" || arg == "-h") {
      std::fputs(kHelp, stdout);
      return 0;
    }
    if (arg == "--json")
      json = true;
    else if (arg.starts_with("-") || !path.empty())
      fail(Status::usage, "inspect: unexpected {}\n\n{}", arg, kHelp);
    else
      path = arg;
  }
  if (path.empty()) fail(Status::usage, "inspect: expected a path\n\n{}", kHelp);
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  const Json report = inspect(path);
  if (json)
    std::printf("%s\n", report.dump().c_str());
  else
    print(report, "");
  return 0;
}

}  // namespace og
