#include <ATen/CPUGeneratorImpl.h>
#include <torch/types.h>

#include "golden.h"
#include "precis/core/strings.h"
#include "precis/mask/positions.h"
#include "precis/methods/sac.h"
#include "precis/methods/transmission.h"

namespace precis::golden {
namespace {

using Lists = std::vector<std::vector<int64_t>>;

void note_equal(Comparison& compare, const std::string& name, bool equal) {
  compare.note(name, equal, equal ? "equal" : "different");
}

void run_masks(const Json& table, Comparison& compare) {
  for (const Json& s : table.at("settings")) {
    MaskConfig config;
    config.text_scope = s.at("text_scope");
    config.text_sees_earlier_memory = yes_no(s.at("text_sees_earlier_memory"));
    config.memory_to_text = s.at("memory_to_text");
    config.memory_to_memory = s.at("memory_to_memory");
    config.memory_sees_prefix = yes_no(s.at("memory_sees_prefix"));
    config.window = s.value("window", int64_t{1});
    const MaskSpec spec = mask_spec(config);
    const std::string preset =
        s.contains("preset") && s.at("preset").is_string() ? s.at("preset").get<std::string>() : "custom";
    SegmentShape shape{s.at("prefix"), s.at("text"), 0, 0, s.at("slots")};
    const bool chunked = s.contains("chunk") && s.at("chunk").is_number();
    shape.chunk = chunked ? s.at("chunk").get<int64_t>() : shape.text;
    shape.group = chunked ? s.at("slots_per_chunk").get<int64_t>() : shape.slots;
    const Tensor mask =
        dense_mask(spec, shape, s.at("layout") == "interleave" ? Layout::interleave : Layout::append, s.at("padding"));
    std::vector<std::string> rows;
    for (int64_t i = 0; i < mask.size(0); ++i) {
      rows.emplace_back();
      for (int64_t j = 0; j < mask.size(1); ++j) rows.back() += mask[i][j].item<bool>() ? '1' : '0';
    }
    bool equal = rows == s.at("rows").get<std::vector<std::string>>() &&
                 mask.sum().item<int64_t>() == s.at("allowed").get<int64_t>();
    if (chunked) equal = equal && slots_of(shape.text, shape.chunk, shape.group) == shape.slots;
    if (preset != "custom") {  // the preset's name must give the same mask as its fields
      MaskConfig named;
      named.preset = preset;
      named.memory_sees_prefix = config.memory_sees_prefix;
      equal = equal && mask_spec(named).to_string() == spec.to_string();
    }
    note_equal(compare, s.at("name").get<std::string>() + " " + preset, equal);
  }
  for (const Json& s : table.at("memory_row_pairs")) {
    for (const auto& [preset, expected] : s.at("memory_row_pairs").items()) {
      MaskConfig config;
      config.preset = preset;
      const int64_t text = s.at("text"), slots = text / s.at("ratio").get<int64_t>();
      const SegmentShape shape = preset == "icae"
                                     ? SegmentShape{0, text, text, slots, slots}
                                     : SegmentShape{0, text, s.at("chunk"), s.at("slots_per_chunk"), slots};
      const int64_t pairs = dense_mask(mask_spec(config), shape).narrow(0, text, slots).sum().item<int64_t>();
      note_equal(compare, cat(preset, " pairs at ratio ", s.at("ratio").get<int64_t>()),
                 pairs == expected.get<int64_t>());
    }
  }
}

void run_epl(const Json& table, Comparison& compare) {
  for (const Json& s : table.at("spans")) {
    const int64_t first = s.at("first"), last = s.at("last"), slots = s.at("slots");
    note_equal(compare, cat("span ", first, "..", last, " in ", slots),
               epl_positions(first, last, slots) == s.at("positions").get<std::vector<int64_t>>());
  }
  for (const Json& s : table.at("chunked")) {
    const SegmentShape shape{s.at("prefix"), s.at("text"), s.at("chunk"), s.at("slots_per_chunk"), s.at("slots")};
    for (const char* scheme : {"epl", "chunk_end"}) {
      std::vector<int64_t> positions = encoder_positions(shape, position_scheme(scheme), Layout::append);
      positions.erase(positions.begin(), positions.begin() + shape.prefix + shape.text);
      note_equal(compare, cat(scheme, " of ", shape.text, " in chunks of ", shape.chunk),
                 positions == s.at(scheme).get<std::vector<int64_t>>());
    }
  }
}

void run_anchors(const Json& table, Comparison& compare) {
  for (const Json& s : table.at("settings")) {
    const int64_t context = s.at("context"), chunk = s.at("chunk"), ratio = s.at("ratio");
    Lists positions;
    for (int64_t start = 0; start < context; start += chunk) {
      positions.push_back(anchor_rows_of_chunk(std::min(chunk, context - start), ratio));
      for (int64_t& row : positions.back()) row += start + 1;
    }
    note_equal(compare, cat("context ", context, " chunk ", chunk, " ratio ", ratio),
               positions == s.at("positions_per_chunk").get<Lists>());
  }
}

void run_segments(const Json& table, Comparison& compare) {
  for (const Json& s : table.at("settings")) {
    const int64_t window = s.at("window"), ratio = s.at("ratio"), context = s.at("context");
    const auto boundaries = run_boundaries(window, ratio);
    std::vector<int64_t> tail_runs;
    for (size_t j = 0; j + 1 < boundaries.size() && boundaries[j] < context % window; ++j) {
      tail_runs.push_back(std::min(boundaries[j + 1], context % window) - boundaries[j]);
    }
    const WidthwiseTransport transport(4, {.window = window, .ratio = ratio, .metric_width = 4},
                                       at::make_generator<at::CPUGeneratorImpl>());
    const bool equal = boundaries == s.at("boundaries").get<std::vector<int64_t>>() &&
                       transport.slots_of(context) == s.at("slots").get<int64_t>() &&
                       tail_runs == s.at("tail_run_lengths").get<std::vector<int64_t>>() &&
                       context % window == s.at("tail").get<int64_t>() &&
                       static_cast<int64_t>(boundaries.size()) - 1 == s.at("slots_per_window").get<int64_t>();
    note_equal(compare, cat("window ", window, " ratio ", ratio, " context ", context), equal);
  }
}

bool run_sinkhorn(const Json& table, const std::filesystem::path& file) {
  Comparison compare("sinkhorn",
                     SafetensorsFile(std::filesystem::path(file).replace_extension(".safetensors")).tensors());
  for (const Json& s : table.at("sets")) {
    const std::string set = cat(s.at("set").get<int64_t>(), ".");
    const Tensor cost = compare.expected(set + "cost"), a = compare.expected(set + "a"),
                 b = compare.expected(set + "b");
    for (const char* input : {"cost", "a", "b"}) compare.close(set + input, compare.expected(set + input), 0);
    compare.close(set + "plan", sinkhorn(cost, a, b, s.at("epsilon"), s.at("iterations"), false), 0, 1e-5);
  }
  compare.finish();
  return compare.passed();
}

}  // namespace

bool run_table(const std::filesystem::path& file) {
  const Json table = read_json(file);
  const std::string name = file.stem().string();
  if (name == "sinkhorn") return run_sinkhorn(table, file);
  static const std::map<std::string, void (*)(const Json&, Comparison&)> tables = {
      {"masks", run_masks}, {"epl", run_epl}, {"anchors", run_anchors}, {"segments", run_segments}};
  const auto found = tables.find(name);
  if (found == tables.end())
    throw Error({.what = "unknown table",
                 .where = file.string(),
                 .expected = "masks, epl, anchors, segments or sinkhorn",
                 .found = name});
  Comparison compare(name, {});
  found->second(table, compare);
  return compare.passed();
}

}  // namespace precis::golden
