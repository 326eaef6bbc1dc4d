// The pcap port: what it records it can replay, tcpdump can read it, and no damaged file gets past
// the check.
#include "port/pcap_port.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

using port::PcapOptions;
using port::PcapPort;
using port::PcapReader;

std::string TemporaryPath() {
  char path[] = "/tmp/ripstop-pcap-XXXXXX";
  const int fd = mkstemp(path);
  EXPECT_GE(fd, 0);
  close(fd);
  return path;
}

class PcapPortTest : public testing::Test {
 protected:
  ~PcapPortTest() override { std::remove(path_.c_str()); }
  // Records `count` frames of growing length.
  void Record(uint32_t count) {
    PcapOptions options;
    options.record = path_;
    auto port = PcapPort::Open(options);
    ASSERT_TRUE(port.ok()) << port.error().detail;
    pkt::Batch batch;
    for (uint32_t i = 0; i < count; ++i) {
      pkt::Packet* packet = (*port)->pool().Take();
      packet->len = 60 + i;
      std::memset(packet->data, static_cast<int>(i), packet->len);
      batch.Push(packet);
      if (batch.room() == 0 || i + 1 == count) (*port)->Transmit(batch, counters_);
    }
    EXPECT_EQ(counters_.tx_packets.Read(), count);
  }
  std::vector<uint8_t> Bytes() {
    std::vector<uint8_t> bytes(1 << 20);
    FILE* file = std::fopen(path_.c_str(), "rb");
    bytes.resize(std::fread(bytes.data(), 1, bytes.size(), file));
    std::fclose(file);
    return bytes;
  }

  std::string path_ = TemporaryPath();
  pkt::LaneCounters counters_;
};

TEST_F(PcapPortTest, ReplaysWhatItRecordedAndIsReadableUntilItsEnd) {
  Record(100);
  PcapOptions options;
  options.replay = path_;
  auto port = PcapPort::Open(options);
  ASSERT_TRUE(port.ok()) << port.error().detail;
  pkt::Batch batch;
  uint32_t expected = 0;
  pollfd waiting{(*port)->wait_fd(), POLLIN, 0};
  while (poll(&waiting, 1, 0) == 1) {
    (*port)->Receive(batch, counters_);
    for (const pkt::Packet* packet : batch) {
      ASSERT_EQ(packet->len, 60 + expected);
      ASSERT_EQ(packet->data[packet->len - 1], expected++);
    }
    pkt::GiveAll(batch);
  }
  EXPECT_EQ(expected, 100U);
  EXPECT_EQ((*port)->Receive(batch, counters_), 0U);
}

TEST_F(PcapPortTest, WritesWhatTcpdumpReads) {
  if (std::system("command -v tcpdump >/dev/null") != 0) GTEST_SKIP() << "tcpdump is not installed";
  Record(7);
  // From standard input: tcpdump gives up root before it opens a file.
  const std::string command =
      "tcpdump --count -r - 2>/dev/null <" + path_ + " | grep -q '^7 packets'";
  EXPECT_EQ(std::system(command.c_str()), 0);
}

TEST_F(PcapPortTest, CountsFramesThatDoNotFit) {
  Record(3);
  std::vector<uint8_t> file = Bytes();
  // One frame of 3000 bytes behind the others.
  std::vector<uint8_t> block(port::kPcapPacketBytes + 3000 + port::kPcapTailBytesMax);
  port::WritePcapPacket(1, 3000, block.data());
  block.resize(port::kPcapPacketBytes + 3000 +
               port::WritePcapTail(3000, block.data() + port::kPcapPacketBytes + 3000));
  file.insert(file.end(), block.begin(), block.end());
  FILE* out = std::fopen(path_.c_str(), "wb");
  ASSERT_EQ(std::fwrite(file.data(), 1, file.size(), out), file.size());
  std::fclose(out);
  PcapOptions options;
  options.replay = path_;
  auto port = PcapPort::Open(options);
  ASSERT_TRUE(port.ok()) << port.error().detail;
  pkt::Batch batch;
  EXPECT_EQ((*port)->Receive(batch, counters_), 3U);
  EXPECT_EQ(counters_.drops[static_cast<int>(pkt::DropReason::kRxTruncated)].Read(), 1U);
  pkt::GiveAll(batch);
}

TEST_F(PcapPortTest, RefusesEveryCutAndSurvivesEveryFlippedByte) {
  Record(4);
  const std::vector<uint8_t> good = Bytes();
  ASSERT_TRUE(PcapReader::Check(good).ok());
  uint32_t whole = 0;
  for (size_t length = 0; length < good.size(); ++length)
    whole += PcapReader::Check(std::span(good).first(length)).ok() ? 1 : 0;
  EXPECT_EQ(whole, 5U) << "only cuts between blocks are files";
  for (size_t at = 0; at < good.size(); ++at) {
    std::vector<uint8_t> bad = good;
    bad[at] ^= 0xff;
    if (!PcapReader::Check(bad).ok()) continue;
    PcapReader reader(bad);
    while (!reader.Next().empty()) {
    }
  }
}

TEST_F(PcapPortTest, NamesTheFileAndThePlaceThatIsWrong) {
  PcapOptions options;
  options.replay = "/nonexistent/file";
  EXPECT_EQ(PcapPort::Open(options).error().code, "PCAP_FILE_FAILED");
  options.replay = path_;  // Empty.
  const auto opened = PcapPort::Open(options);
  EXPECT_EQ(opened.error().code, "PCAP_FILE_BAD");
  EXPECT_NE(opened.error().detail.find("byte 0"), std::string::npos);
}

}  // namespace
