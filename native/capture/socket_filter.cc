#include "capture/socket_filter.h"

#include <string>

#include "base/endian.h"

namespace capture {

namespace {

constexpr uint32_t kScratch = BPF_MEMWORDS;
constexpr uint32_t kBytesMax = 1U << 30;  // Beyond any frame, and sums of two cannot overflow.

base::Error Refuse(size_t at, const char* why) {
  return base::Error{"CAPTURE_FILTER_BAD", 0, "check the capture filter",
                     "instruction " + std::to_string(at) + " " + why +
                         "; use what `tcpdump -ddd -y EN10MB FILTER` prints"};
}

bool Known(uint16_t code) {
  switch (BPF_CLASS(code)) {
    case BPF_LD:
    case BPF_LDX:
      switch (BPF_MODE(code)) {
        case BPF_IMM:
        case BPF_MEM:
        case BPF_LEN:
          return BPF_SIZE(code) == BPF_W;
        case BPF_ABS:
        case BPF_IND:
          return BPF_CLASS(code) == BPF_LD &&
                 (BPF_SIZE(code) == BPF_W || BPF_SIZE(code) == BPF_H || BPF_SIZE(code) == BPF_B);
        case BPF_MSH:
          return BPF_CLASS(code) == BPF_LDX && BPF_SIZE(code) == BPF_B;
        default:
          return false;
      }
    case BPF_ST:
    case BPF_STX:
      return code == BPF_CLASS(code);
    case BPF_ALU:
      return BPF_OP(code) <= BPF_XOR;
    case BPF_JMP:
      return BPF_OP(code) <= BPF_JSET;
    case BPF_RET:
      return BPF_RVAL(code) == BPF_K || BPF_RVAL(code) == BPF_A;
    default:
      return code == (BPF_MISC | BPF_TAX) || code == (BPF_MISC | BPF_TXA);
  }
}

const char* Wrong(const sock_filter& op, size_t at, size_t count) {
  if (!Known(op.code)) return "is unknown";
  const uint16_t kind = BPF_CLASS(op.code), mode = BPF_MODE(op.code);
  const bool memory =
      kind == BPF_ST || kind == BPF_STX || ((kind == BPF_LD || kind == BPF_LDX) && mode == BPF_MEM);
  if (memory && op.k >= kScratch) return "names a scratch word that does not exist";
  if ((kind == BPF_LD && (mode == BPF_ABS || mode == BPF_IND)) && op.k >= kBytesMax)
    return "reads at an offset that no frame has";
  const uint16_t operation = BPF_OP(op.code);
  if (kind == BPF_ALU && (operation == BPF_DIV || operation == BPF_MOD) &&
      BPF_SRC(op.code) == BPF_K && op.k == 0)
    return "divides by zero";
  if (kind == BPF_JMP) {
    const size_t left = count - at - 1;
    const size_t far =
        operation == BPF_JA ? op.k : static_cast<size_t>(op.jt > op.jf ? op.jt : op.jf);
    if (far >= left) return "jumps out of the program";
  }
  return nullptr;
}

uint32_t Alu(uint16_t operation, uint32_t a, uint32_t b) {
  switch (operation) {
    case BPF_ADD:
      return a + b;
    case BPF_SUB:
      return a - b;
    case BPF_MUL:
      return a * b;
    case BPF_DIV:
      return b == 0 ? 0 : a / b;
    case BPF_MOD:
      return b == 0 ? 0 : a % b;
    case BPF_OR:
      return a | b;
    case BPF_AND:
      return a & b;
    case BPF_XOR:
      return a ^ b;
    case BPF_LSH:
      return b > 31 ? 0 : a << b;
    case BPF_RSH:
      return b > 31 ? 0 : a >> b;
    default:
      return 0 - a;  // BPF_NEG.
  }
}

bool Jump(uint16_t operation, uint32_t a, uint32_t b) {
  switch (operation) {
    case BPF_JEQ:
      return a == b;
    case BPF_JGT:
      return a > b;
    case BPF_JGE:
      return a >= b;
    default:
      return (a & b) != 0;  // BPF_JSET.
  }
}

// False beyond the end of the frame: the packet does not match, as in the kernel.
bool LoadAt(const uint8_t* frame, uint32_t bytes, uint64_t at, uint16_t width, uint32_t* to) {
  const uint32_t size = width == BPF_W ? 4 : width == BPF_H ? 2 : 1;
  if (at + size > bytes) return false;
  const uint8_t* from = frame + at;
  *to = size == 4 ? base::LoadBe32(from) : size == 2 ? base::LoadBe16(from) : *from;
  return true;
}

// Registers and memory of one run.
struct Machine {
  const uint8_t* frame;
  uint32_t bytes;
  uint32_t a = 0, x = 0;
  uint32_t memory[kScratch] = {};

  bool Load(const sock_filter& op) {
    switch (BPF_MODE(op.code)) {
      case BPF_IMM:
        a = op.k;
        return true;
      case BPF_MEM:
        a = memory[op.k];
        return true;
      case BPF_LEN:
        a = bytes;
        return true;
      case BPF_ABS:
        return LoadAt(frame, bytes, op.k, BPF_SIZE(op.code), &a);
      default:  // BPF_IND.
        return LoadAt(frame, bytes, uint64_t{x} + op.k, BPF_SIZE(op.code), &a);
    }
  }
  bool LoadIndex(const sock_filter& op) {
    switch (BPF_MODE(op.code)) {
      case BPF_IMM:
        x = op.k;
        return true;
      case BPF_MEM:
        x = memory[op.k];
        return true;
      case BPF_LEN:
        x = bytes;
        return true;
      default:  // BPF_MSH: four times the low nibble, an IPv4 header length.
        if (op.k >= bytes) return false;
        x = (frame[op.k] & 0xfU) << 2;
        return true;
    }
  }
};

}  // namespace

base::Result<SocketFilter> SocketFilter::Check(std::span<const sock_filter> program) {
  if (program.size() > BPF_MAXINSNS) return Refuse(program.size(), "is one too many");
  for (size_t at = 0; at < program.size(); ++at) {
    const char* wrong = Wrong(program[at], at, program.size());
    if (wrong != nullptr) return Refuse(at, wrong);
  }
  if (!program.empty() && BPF_CLASS(program.back().code) != BPF_RET)
    return Refuse(program.size() - 1, "is the last and does not return");
  return SocketFilter(std::vector<sock_filter>(program.begin(), program.end()));
}

uint32_t SocketFilter::Run(const uint8_t* frame, uint32_t bytes) const {
  if (code_.empty()) return bytes;
  Machine m{frame, bytes};
  for (const sock_filter* op = code_.data();; ++op) {
    const uint32_t operand = BPF_SRC(op->code) == BPF_X ? m.x : op->k;
    switch (BPF_CLASS(op->code)) {
      case BPF_LD:
        if (!m.Load(*op)) return 0;
        break;
      case BPF_LDX:
        if (!m.LoadIndex(*op)) return 0;
        break;
      case BPF_ST:
        m.memory[op->k] = m.a;
        break;
      case BPF_STX:
        m.memory[op->k] = m.x;
        break;
      case BPF_ALU:
        m.a = Alu(BPF_OP(op->code), m.a, operand);
        break;
      case BPF_JMP:
        if (BPF_OP(op->code) == BPF_JA) {
          op += op->k;
        } else {
          op += Jump(BPF_OP(op->code), m.a, operand) ? op->jt : op->jf;
        }
        break;
      case BPF_RET:
        return BPF_RVAL(op->code) == BPF_A ? m.a : op->k;
      default:
        if (op->code == (BPF_MISC | BPF_TAX)) {
          m.x = m.a;
        } else {
          m.a = m.x;
        }
    }
  }
}

}  // namespace capture
