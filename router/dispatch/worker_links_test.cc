#include "router/dispatch/worker_links.h"

#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace shoal {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

const absl::Time kStart = absl::FromUnixSeconds(1'000'000);

// Opens what is dialled when it is told to; sends nothing.
class IdleDialer final : public Dialer {
 public:
  LinkId Dial(const Endpoint&, StreamKind) override { return ++n_dialled; }
  absl::StatusOr<LinkId> Connect(const Endpoint& to, StreamKind kind, absl::Time) override {
    return Dial(to, kind);
  }
  absl::Status Send(LinkId, FrameBuffer) override { return absl::OkStatus(); }
  void Close(LinkId link) override { closed.push_back(link); }
  std::optional<LinkEvent> Next(absl::Time) override { return std::nullopt; }

  LinkId n_dialled = 0;
  std::vector<LinkId> closed;
};

PeerView ViewOf(const std::string& address, std::vector<int> experts) {
  PeerView view;
  view.member.address = address;
  view.reachable = true;
  view.resident = ExpertSet(1, 4);
  for (const int expert : experts) view.resident.Insert(0, expert);
  return view;
}

class WorkerLinksTest : public ::testing::Test {
 protected:
  void Follow(const PeerViews& views) {
    gone_.clear();
    EXPECT_TRUE(links_.Sync(views, &gone_));
    links_.Dial(now_);
    for (int place = 0; place < links_.size(); ++place) {
      if (links_.at(place).state == WorkerLinks::State::kDialling) {
        links_.OnOpened(links_.at(place));
      }
    }
  }
  std::vector<int> Candidates(int expert, const WorkerSet& excluded = {}) {
    const auto found = links_.Candidates(0, expert, excluded, now_);
    return {found.begin(), found.end()};
  }

  IdleDialer dialer_;
  WorkerLinks links_{&dialer_};
  std::vector<LinkId> gone_;
  absl::Time now_ = kStart;
};

TEST_F(WorkerLinksTest, ThoseThatHoldAnExpertMayBeAsked) {
  Follow({ViewOf("a", {0, 1}), ViewOf("b", {1, 2})});
  EXPECT_THAT(Candidates(0), ElementsAre(0));
  EXPECT_THAT(Candidates(1), ElementsAre(0, 1));
  EXPECT_THAT(Candidates(3), IsEmpty());
  EXPECT_THAT(Candidates(1, WorkerSet(1)), ElementsAre(1));
}

// Goal: what speaks against a worker counts only while there is a better one.
TEST_F(WorkerLinksTest, F01_TheLastReplicaIsNeverGivenUp) {
  PeerViews views = {ViewOf("a", {0}), ViewOf("b", {0})};
  views[0].draining = true;
  Follow(views);
  EXPECT_THAT(Candidates(0), ElementsAre(1));
  views[1].reachable = false;  // A draining worker is better than a silent one.
  Follow(views);
  EXPECT_THAT(Candidates(0), ElementsAre(0));
  views[0].reachable = false;
  Follow(views);
  EXPECT_THAT(Candidates(0), ElementsAre(1));
  EXPECT_THAT(Candidates(0, WorkerSet(2)), ElementsAre(0));
  views[1].unfit = true;  // Another model's experts are no replica at all.
  Follow(views);
  EXPECT_THAT(Candidates(0), ElementsAre(0));
}

TEST_F(WorkerLinksTest, F09_ThreeCorruptFramesEjectForAWhileThatDoubles) {
  Follow({ViewOf("a", {0}), ViewOf("b", {0, 1})});
  WorkerLinks::Worker& bad = links_.at(1);
  links_.OnCorrupt(bad, now_);
  links_.OnCorrupt(bad, now_);
  EXPECT_THAT(Candidates(0), ElementsAre(0, 1));
  now_ += absl::Seconds(61);
  links_.OnCorrupt(bad, now_);  // The first two are forgotten.
  EXPECT_THAT(Candidates(0), ElementsAre(0, 1));
  for (const int seconds : {5, 10, 20, 40, 60, 60}) {
    while (bad.ejected_until <= now_) links_.OnCorrupt(bad, now_);
    EXPECT_EQ(bad.ejected_until - now_, absl::Seconds(seconds));
    EXPECT_THAT(Candidates(0), ElementsAre(0));
    EXPECT_THAT(Candidates(1), ElementsAre(1));  // Its last replica.
    now_ = bad.ejected_until;
    EXPECT_THAT(Candidates(0), ElementsAre(0, 1));
  }
}

TEST_F(WorkerLinksTest, MembersComeGoAndMove) {
  Follow({ViewOf("a", {0}), ViewOf("b", {0})});
  const LinkId link_of_a = links_.at(0).link;
  Follow({ViewOf("b", {0}), ViewOf("c", {0})});  // c gets a new place: a's calls still name a's.
  EXPECT_THAT(gone_, ElementsAre(link_of_a));
  EXPECT_THAT(dialer_.closed, ElementsAre(link_of_a));
  EXPECT_EQ(links_.Find(link_of_a), nullptr);
  EXPECT_THAT(Candidates(0), ElementsAre(1, 2));
  Follow({ViewOf("b", {0}), ViewOf("c", {0}), ViewOf("d", {0})});
  EXPECT_EQ(links_.at(0).member.address, "d");
  EXPECT_EQ(links_.size(), 3);
}

TEST_F(WorkerLinksTest, LostLinksAreDialledAgainWithAGrowingPause) {
  Follow({ViewOf("a", {0})});
  links_.OnClosed(links_.at(0), absl::UnavailableError("reset"), now_);
  EXPECT_THAT(Candidates(0), IsEmpty());
  for (const int pause_ms : {100, 200, 400, 800, 1600, 2000, 2000}) {
    const LinkId before = dialer_.n_dialled;
    links_.Dial(now_ + absl::Milliseconds(pause_ms - 1));
    EXPECT_EQ(dialer_.n_dialled, before);
    now_ += absl::Milliseconds(pause_ms);
    links_.Dial(now_);
    EXPECT_EQ(dialer_.n_dialled, before + 1);
    links_.OnClosed(links_.at(0), absl::UnavailableError("refused"), now_);
  }
}

}  // namespace
}  // namespace shoal
