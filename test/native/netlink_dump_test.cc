// Dumps that are interrupted because the table changes under them. Once by the kernel itself: a
// relay stands between the reader and rtnetlink and makes a link in the middle of the first dump.
// And by a peer that never stops interrupting.
#include <gtest/gtest.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "base/unique_fd.h"
#include "net_sandbox.h"
#include "netlink/message.h"
#include "netlink/objects.h"
#include "netlink/request_socket.h"
#include "netlink/socket.h"

namespace netlink {
namespace {

constexpr int kLinks = 60;  // With their details several datagrams of a dump.
constexpr size_t kSmallDatagram = 8192;

Link Bridge(const std::string& name) {
  Link link;
  link.name = name;
  link.kind = "bridge";
  return link;
}

void MakeLinks(RequestSocket& socket, int first, int count) {
  MessageBatch batch;
  for (int i = first; i < first + count; ++i)
    Encode(batch, Verb::kAdd, Bridge("many" + std::to_string(i)));
  auto outcomes = socket.Apply(batch);
  ASSERT_TRUE(outcomes.ok());
  for (const Outcome& outcome : outcomes.value()) ASSERT_EQ(outcome.os_error, 0) << outcome.message;
}

// What the other end of the reader's socket does with each request, until the reader hangs up.
class Peer {
 public:
  explicit Peer(std::function<void(int reader, std::span<const uint8_t> request)> answer) {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) abort();
    reader_ = RequestSocket::Over(base::UniqueFd(ends[0]));
    end_.Reset(ends[1]);
    thread_ = std::thread([this, answer = std::move(answer)] {
      std::vector<uint8_t> request(kDatagramBytes);
      for (;;) {
        const ssize_t size = ::recv(end_.get(), request.data(), request.size(), 0);
        if (size <= 0) return;
        ++requests;
        answer(end_.get(), std::span<const uint8_t>(request).first(static_cast<size_t>(size)));
      }
    });
  }
  ~Peer() {
    reader_.reset();
    thread_.join();
  }
  RequestSocket& reader() { return *reader_; }
  std::atomic<int> requests = 0;

 private:
  std::unique_ptr<RequestSocket> reader_;
  base::UniqueFd end_;
  std::thread thread_;
};

// Whether one of the messages is flagged as interrupted, and whether one ends the dump.
struct Seen {
  bool interrupted = false;
  bool done = false;
};
Seen Look(std::span<const uint8_t> datagram) {
  Seen seen;
  while (datagram.size() >= sizeof(nlmsghdr)) {
    nlmsghdr header;
    std::memcpy(&header, datagram.data(), sizeof header);
    if (header.nlmsg_len < sizeof header || header.nlmsg_len > datagram.size()) break;
    seen.interrupted |= (header.nlmsg_flags & NLM_F_DUMP_INTR) != 0;
    seen.done |= header.nlmsg_type == NLMSG_DONE || header.nlmsg_type == NLMSG_ERROR;
    datagram = datagram.subspan(
        std::min(datagram.size(), static_cast<size_t>(NLMSG_ALIGN(header.nlmsg_len))));
  }
  return seen;
}

TEST(NetlinkDump, IsReadAgainWhenTheKernelSaysThatTheTableChangedUnderIt) {
  if (const std::string missing = test::NetSandbox::Missing(); !missing.empty())
    GTEST_SKIP() << missing;
  const test::NetSandbox sandbox;
  ASSERT_TRUE(sandbox.ready());
  auto direct = RequestSocket::Open("");
  ASSERT_TRUE(direct.ok());
  MakeLinks(*direct.value(), 0, kLinks);
  auto opened = OpenSocket("", true);
  ASSERT_TRUE(opened.ok());
  const base::UniqueFd kernel = std::move(opened).value();

  int dumps = 0;
  std::vector<bool> interrupted;
  {
    Peer relay([&](int reader, std::span<const uint8_t> request) {
      ++dumps;
      Seen seen;
      ASSERT_EQ(::send(kernel.get(), request.data(), request.size(), 0),
                static_cast<ssize_t>(request.size()));
      std::vector<uint8_t> datagram(kSmallDatagram);
      for (int part = 0; !seen.done; ++part) {
        const ssize_t size = ::recv(kernel.get(), datagram.data(), datagram.size(), 0);
        ASSERT_GT(size, 0);
        const auto bytes = std::span<const uint8_t>(datagram).first(static_cast<size_t>(size));
        const Seen here = Look(bytes);
        seen.interrupted |= here.interrupted;
        seen.done = here.done;
        ASSERT_EQ(::send(reader, bytes.data(), bytes.size(), 0), size);
        if (dumps == 1 && part == 0) MakeLinks(*direct.value(), kLinks, 1);
      }
      interrupted.push_back(seen.interrupted);
    });
    MessageBatch request;
    EncodeDump(request, Query{.kind = Kind::kLink});
    auto objects = relay.reader().Read(request);
    ASSERT_TRUE(objects.ok()) << objects.error().detail;
    std::vector<std::string> names;
    for (const Object& object : objects.value()) {
      const std::string& name = std::get<Link>(object).name;
      if (name.starts_with("many")) names.push_back(name);
    }
    std::sort(names.begin(), names.end());
    EXPECT_EQ(std::unique(names.begin(), names.end()), names.end()) << "a link was told twice";
    EXPECT_EQ(names.size(), static_cast<size_t>(kLinks + 1));
  }
  EXPECT_EQ(interrupted, (std::vector<bool>{true, false}))
      << "the kernel's own flags, dump by dump";
}

// A dump of one link and its end, as the kernel would send them.
void AnswerOneLink(int reader, std::span<const uint8_t> request, const char* name, bool flagged) {
  nlmsghdr asked;
  std::memcpy(&asked, request.data(), sizeof asked);
  MessageBatch answer;
  const auto flags = static_cast<uint16_t>(NLM_F_MULTI | (flagged ? NLM_F_DUMP_INTR : 0));
  answer.Begin(RTM_NEWLINK, flags, ifinfomsg{});
  answer.Text(IFLA_IFNAME, name);
  answer.End();
  answer.Begin(NLMSG_DONE, NLM_F_MULTI, int32_t{0});
  answer.End();
  for (size_t i = 0; i < answer.count(); ++i) answer.Header(i)->nlmsg_seq = asked.nlmsg_seq;
  const auto bytes = answer.Slice(0, answer.count());
  ASSERT_EQ(::send(reader, bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
}

TEST(NetlinkDump, KeepsNothingOfAnInterruptedAttempt) {
  int dumps = 0;
  Peer peer([&](int reader, std::span<const uint8_t> request) {
    ++dumps;
    AnswerOneLink(reader, request, ("attempt" + std::to_string(dumps)).c_str(), dumps < 3);
  });
  MessageBatch request;
  EncodeDump(request, Query{.kind = Kind::kLink});
  auto objects = peer.reader().Read(request);
  ASSERT_TRUE(objects.ok());
  ASSERT_EQ(objects.value().size(), 1u);
  EXPECT_EQ(std::get<Link>(objects.value()[0]).name, "attempt3");
}

TEST(NetlinkDump, ThatIsAlwaysInterruptedIsAnErrorAndNoHalfAnswer) {
  Peer peer([](int reader, std::span<const uint8_t> request) {
    AnswerOneLink(reader, request, "eth0", true);
  });
  MessageBatch request;
  EncodeDump(request, Query{.kind = Kind::kLink});
  auto objects = peer.reader().Read(request);
  ASSERT_FALSE(objects.ok());
  EXPECT_EQ(objects.error().code, "NETLINK_DUMP_INTERRUPTED");
  EXPECT_EQ(peer.requests, kDumpAttemptsMax);
}

}  // namespace
}  // namespace netlink
