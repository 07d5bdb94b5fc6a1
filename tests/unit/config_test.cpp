#include <gtest/gtest.h>

#include "precis/config/schema.h"
#include "precis/core/error.h"
#include "precis/core/file.h"
#include "precis/methods/comprexit.h"
#include "support.h"

namespace precis {
namespace {

using testing::error_of;
using testing::TemporaryFolder;
using testing::write_text;

Config from_overrides(const std::vector<std::string>& overrides) {
  return resolve_config(config_layers("", overrides), CompressorRegistry::built_in().methods());
}

TEST(Config, AllProblemsAreReportedAtOnceWithFilePathExpectedFoundAndNearestKey) {
  const TemporaryFolder folder;
  write_text(
      folder / "c.json",
      R"({"compressor": {"ratoi": 4, "chunk": -1, "lora": {"rank": "x"}}, "train": {"lr": -1e300}, "modle": {}})");
  const std::string message = error_of([&] {
    resolve_config(config_layers(folder / "c.json", {"train.steps=many"}), CompressorRegistry::built_in().methods());
  });
  for (const char* part :
       {"c.json", "unknown key compressor.ratoi; did you mean ratio?",
        "compressor.chunk: expected between 0 and 524288, found the number -1",
        "compressor.lora.rank: expected a whole number", "did you mean model?", "command line: train.steps"}) {
    EXPECT_CONTAINS(message, part) << part << "\nin\n" << message;
  }
}

TEST(Config, NotANumberAndOutOfRangeAreRefused) {
  EXPECT_THROW(from_overrides({"train.lr=NaN"}), Error);
  EXPECT_THROW(from_overrides({"train.beta1=1.5"}), Error);
  EXPECT_THROW(from_overrides({"compressor.ratio=0"}), Error);
  EXPECT_THROW(from_overrides({"compressor.ratio=99999999999999999999"}), Error);
  EXPECT_THROW(from_overrides({"compressor.mask.preset=nothing"}), Error);
  EXPECT_THROW(from_overrides({"nonsense"}), Error);
}

TEST(Config, ExtendsIsRelativeAndOverridesWin) {
  const TemporaryFolder folder;
  write_text(folder / "base/base.json",
             R"({"compressor": {"ratio": 8}, "model": {"path": "m.gguf"}, "train": {"lr": 1e-3}})");
  write_text(folder / "c.json", R"({"extends": "base/base.json", /* ours */ "train": {"lr": 2e-3}})");
  const Config config =
      resolve_config(config_layers(folder / "c.json", {"compressor.ratio=16", "eval.references=full,none"}),
                     CompressorRegistry::built_in().methods());
  EXPECT_EQ(config.compressor.ratio, 16);
  EXPECT_EQ(config.train.lr, 2e-3);
  EXPECT_EQ(config.model.path, (folder / "base/m.gguf").string());
  EXPECT_EQ(config.eval.references, (std::vector<std::string>{"full", "none"}));
}

TEST(Config, CircularExtendsIsAnError) {
  const TemporaryFolder folder;
  write_text(folder / "a.json", R"({"extends": "b.json"})");
  write_text(folder / "b.json", R"({"extends": "a.json"})");
  EXPECT_CONTAINS(error_of([&] { config_layers(folder / "a.json", {}); }), "extends itself");
}

TEST(Config, DefaultsFollowTheMethod) {
  EXPECT_EQ(from_overrides({"compressor.method=sac"}).compressor.lora.rank, 128);
  EXPECT_EQ(from_overrides({"compressor.method=sac"}).compressor.carrier, "kv");
  EXPECT_EQ(from_overrides({"compressor.method=500x"}).compressor.lora.targets.size(), 2u);
  EXPECT_EQ(from_overrides({}).compressor.projector, "none");
}

TEST(Config, DefaultsFollowTheForm) {
  const CompressorConfig pic = from_overrides({}).compressor,
                         published = from_overrides({"compressor.form=published"}).compressor;
  EXPECT_EQ(pic.mask.preset, "pic-local");
  EXPECT_EQ(published.mask.preset, "pic");
  EXPECT_EQ(published.projector, "mlp");
  const auto comprexit = [](const std::string& form) {
    return from_overrides({"compressor.method=comprexit", "compressor.form=" + form})
        .compressor.settings.get<ComprexitSettings>()
        .locality;
  };
  EXPECT_EQ(comprexit("default"), 1);
  EXPECT_EQ(comprexit("published"), 0);
  // A compressor saved before `form` existed has the published form, also in fields added later.
  EXPECT_EQ(compressor_config_from_json({{"method", "comprexit"}, {"ratio", 4}}, "old",
                                        CompressorRegistry::built_in().methods())
                .settings.get<ComprexitSettings>()
                .locality,
            0);
}

// The settings of an external method.
struct Own {
  int64_t depth = 2;
  std::vector<double> weights = {1, 2};
  template <class V>
  void visit(V& v) {
    v("depth", depth, "depth", between(1, 9));
    v("weights", weights, "one weight per layer");
  }
};

TEST(Config, AMethodsSettingsAreReadAndCheckedAndOnlyItsOwnKept) {
  CompressorRegistry registry = CompressorRegistry::built_in();
  registry.add("mine", nullptr, {.settings = MethodSettings::of<Own>("mine"), .learns = [](CompressorConfig& c) {
                                   c.settings.get<Own>().depth = 5;
                                 }});
  const auto read = [&](const std::vector<std::string>& overrides) {
    return resolve_config(config_layers("", overrides), registry.methods());
  };
  const Config mine =
      read({"compressor.method=mine", "compressor.mine.weights=0.5,3", "compressor.sac.attention=causal"});
  EXPECT_EQ(mine.compressor.settings.get<Own>().depth, 5);
  EXPECT_EQ(mine.compressor.settings.get<Own>().weights, (std::vector<double>{0.5, 3}));
  const Json printed = to_json(mine).at("compressor");
  EXPECT_EQ(printed.at("mine").at("depth"), 5);
  EXPECT_FALSE(printed.contains("sac"));
  EXPECT_EQ(to_json(resolve_config({{"printed", to_json(mine)}}, registry.methods())), to_json(mine));
  EXPECT_EQ(compressor_config_from_json(printed, "file", registry.methods()).settings.get<Own>().weights.size(), 2u);
  const std::string message = error_of([&] {
    read({"compressor.mine.depth=12", "compressor.mine.dept=1", "compressor.sac.attention=none"});
  });
  for (const char* part : {"between 1 and 9", "did you mean depth", "compressor.sac.attention"})
    EXPECT_CONTAINS(message, part) << message;
  EXPECT_EQ(json_schema(registry.methods())
                .at("properties")
                .at("compressor")
                .at("properties")
                .at("mine")
                .at("properties")
                .at("depth")
                .at("default"),
            2);
  EXPECT_CONTAINS(markdown_reference(registry.methods()), "`compressor.mine.weights`");
  EXPECT_CONTAINS(error_of([&] { registry.add("lora", nullptr); }), "unique name");
  EXPECT_CONTAINS(error_of([&] { registry.add("sac", nullptr); }), "unique name");
}

TEST(Config, ChangedSettingsDoNotNameWhatIsAsPublished) {
  const auto changed = [](const std::vector<std::string>& overrides) {
    return changed_settings(from_overrides(overrides).compressor);
  };
  EXPECT_EQ(changed({"compressor.method=sac", "compressor.form=published"}), Json({{"method", "sac"}}));
  EXPECT_EQ(changed({"compressor.method=sac", "compressor.ratio=3"}), Json({{"method", "sac"}, {"ratio", 3}}));
}

TEST(Config, PrintedConfigReadsBackToItself) {
  const Json printed = to_json(from_overrides({"compressor.method=icae", "compressor.ratio=16"}));
  EXPECT_EQ(to_json(resolve_config({{"printed", printed}}, CompressorRegistry::built_in().methods())), printed);
}

TEST(Config, MissingKeysAreNamedTogether) {
  const std::string message = error_of([] {
    require_set(from_overrides({}), {"model.path", "data.train", "run.dir"});
  });
  EXPECT_CONTAINS(message, "3 problems");
  EXPECT_CONTAINS(message, "data.train");
}

TEST(Config, SchemaKnowsEveryPrintedKey) {
  const std::function<void(const Json&, const Json&)> walk = [&](const Json& values, const Json& properties) {
    for (const auto& [key, value] : values.items()) {
      ASSERT_TRUE(properties.contains(key)) << key;
      if (value.is_object()) walk(value, properties.at(key).at("properties"));
    }
  };
  walk(to_json(from_overrides({})), json_schema(CompressorRegistry::built_in().methods()).at("properties"));
}

TEST(Config, DocumentationIsUpToDate) {
  EXPECT_EQ(read_file(std::filesystem::path(PRECIS_SOURCE_DIR) / "docs/config.md"),
            markdown_reference(CompressorRegistry::built_in().methods()))
      << "run: build/release/bin/precis --print-docs > docs/config.md";
}

}  // namespace
}  // namespace precis
