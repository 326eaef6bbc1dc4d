#include "port/pcap_port.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/clock.h"

namespace port {

namespace {

base::Result<std::vector<uint8_t>> ReadFile(const std::string& path) {
  base::UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat seen {};
  if (!fd.valid() || fstat(fd.get(), &seen) != 0)
    return base::SystemError("PCAP_FILE_FAILED", "open(" + path + ")",
                             "the file to replay must be readable");
  std::vector<uint8_t> bytes(static_cast<size_t>(seen.st_size));
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = read(fd.get(), bytes.data() + done, bytes.size() - done);
    if (n <= 0)
      return base::SystemError("PCAP_FILE_FAILED", "read(" + path + ")", "the file ended early");
    done += static_cast<size_t>(n);
  }
  if (auto status = PcapReader::Check(bytes); !status.ok()) return status.error();
  return bytes;
}

base::Result<base::UniqueFd> CreateFile(const std::string& path) {
  base::UniqueFd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  uint8_t prologue[kPcapPrologueBytes];
  WritePcapPrologue(prologue);
  if (!fd.valid() || write(fd.get(), prologue, sizeof prologue) != sizeof prologue)
    return base::SystemError("PCAP_FILE_FAILED", "open(" + path + ")",
                             "the file to record must be writable");
  return fd;
}

uint64_t WallNs() {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000ULL + static_cast<uint64_t>(now.tv_nsec);
}

}  // namespace

base::Result<std::unique_ptr<PcapPort>> PcapPort::Open(const PcapOptions& options) {
  std::vector<uint8_t> file;
  if (!options.replay.empty()) {
    auto read = ReadFile(options.replay);
    if (!read.ok()) return read.error();
    file = std::move(read).value();
  }
  base::UniqueFd record;
  if (!options.record.empty()) {
    auto created = CreateFile(options.record);
    if (!created.ok()) return created.error();
    record = std::move(created).value();
  }
  auto pool = pkt::FramePool::Create(options.frames, options.frame_bytes);
  if (!pool.ok()) return pool.error();
  base::UniqueFd event(eventfd(file.empty() ? 0 : 1, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!event.valid())
    return base::SystemError("PCAP_FILE_FAILED", "eventfd", "raise the limit of open files");
  return std::unique_ptr<PcapPort>(new PcapPort(options, std::move(pool).value(), std::move(file),
                                                std::move(record), std::move(event)));
}

PcapPort::PcapPort(const PcapOptions& options, std::unique_ptr<pkt::FramePool> pool,
                   std::vector<uint8_t> file, base::UniqueFd record, base::UniqueFd event)
    : pool_(std::move(pool)),
      file_(std::move(file)),
      reader_(file_),
      next_(reader_.Next()),
      record_(std::move(record)),
      event_(std::move(event)),
      wall_minus_monotonic_ns_(WallNs() - base::MonotonicNs()),
      description_("replay " + (options.replay.empty() ? "nothing" : options.replay) + ", record " +
                   (options.record.empty() ? "nothing" : options.record)),
      capabilities_(options.capabilities) {
  if (capabilities_.frame_bytes_max == 0)
    capabilities_.frame_bytes_max = options.frame_bytes - pkt::kHeadroomBytes;
}

uint32_t PcapPort::Receive(pkt::Batch& out, pkt::LaneCounters& counters) {
  uint32_t received = 0;
  while (out.room() != 0 && !next_.empty()) {
    if (next_.size() > pool_->frame_bytes() - pkt::kHeadroomBytes) {
      counters.rx_packets.Add(1);
      counters.rx_frames.Add(1);
      counters.rx_bytes.Add(next_.size());
      counters.Drop(pkt::DropReason::kRxTruncated, 1);
    } else {
      pkt::Packet* packet = pool_->Take();
      if (packet == nullptr) return received;
      packet->len = static_cast<uint32_t>(next_.size());
      std::memcpy(packet->data, next_.data(), next_.size());
      out.Push(packet);
      ++received;
    }
    next_ = reader_.Next();
  }
  if (next_.empty()) {
    uint64_t events;
    (void)!read(event_.get(), &events, sizeof events);
  }
  return received;
}

bool PcapPort::Write(const pkt::Packet& packet) const {
  if (!record_.valid()) return true;
  uint8_t head[kPcapPacketBytes];
  uint8_t tail[kPcapTailBytesMax];
  WritePcapPacket(base::MonotonicNs() + wall_minus_monotonic_ns_, packet.len, head);
  const iovec pieces[] = {
      {head, sizeof head}, {packet.data, packet.len}, {tail, WritePcapTail(packet.len, tail)}};
  const auto whole =
      static_cast<ssize_t>(pieces[0].iov_len + pieces[1].iov_len + pieces[2].iov_len);
  return writev(record_.get(), pieces, 3) == whole;
}

void PcapPort::Transmit(pkt::Batch& batch, pkt::LaneCounters& counters) {
  for (const pkt::Packet* packet : batch) {
    if (!Write(*packet)) {
      counters.Drop(pkt::DropReason::kTxError, packet->segments);
      continue;
    }
    counters.tx_packets.Add(packet->segments);
    counters.tx_bytes.Add(packet->len);
    counters.tx_frames.Add(1);
  }
  pkt::GiveAll(batch);
}

}  // namespace port
