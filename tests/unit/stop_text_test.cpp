#include "precis/text/stop_text.h"

#include <gtest/gtest.h>

namespace precis {
namespace {

// The text shown for a stream of pieces, including its end.
std::string shown(StopText& stop, const std::vector<std::string>& pieces) {
  std::string out;
  for (const auto& piece : pieces) out += stop.push(piece);
  return out + stop.finish();
}

TEST(StopText, EndsBeforeTheFirstStopTextHoweverTheStreamIsCut) {
  const std::string text = "one END two STOP three";
  for (size_t a = 0; a <= text.size(); ++a) {
    for (size_t b = a; b <= text.size(); ++b) {
      StopText stop({"STOP", "END", ""});
      EXPECT_EQ(shown(stop, {text.substr(0, a), text.substr(a, b - a), text.substr(b)}), "one ");
      EXPECT_TRUE(stop.reached());
    }
  }
}

TEST(StopText, HoldsBackOnlyWhatCouldBecomeAStopText) {
  StopText stop({"aab"});
  EXPECT_EQ(stop.push("x"), "x");
  EXPECT_EQ(stop.push("aa"), "");
  EXPECT_EQ(stop.push("a"), "a");  // "aaa": the last two may be the start of "aab"
  EXPECT_EQ(stop.push("c"), "aac");
  EXPECT_EQ(stop.push("a"), "");
  EXPECT_EQ(stop.finish(), "a");
  EXPECT_FALSE(stop.reached());
}

TEST(StopText, WithoutStopTextsEverythingIsShownAtOnce) {
  StopText stop({});
  EXPECT_EQ(stop.push("abc"), "abc");
  EXPECT_FALSE(stop.reached());
}

}  // namespace
}  // namespace precis
