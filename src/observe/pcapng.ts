// Writes pcapng (IETF draft-ietf-opsawg-pcapng): several Ethernet interfaces, times in nanoseconds, direction and a comment
// with each packet. Pure: bytes out, whoever asks writes them. native/port/pcap_format.h has the little that C++ needs.

const SECTION = 0x0a0d0d0a;
const INTERFACE = 1;
const STATISTICS = 5;
const ENHANCED_PACKET = 6;
const BYTE_ORDER = 0x1a2b3c4d;
const ETHERNET = 1;
const OPTION = {
  comment: 1,
  name: 2,
  timeResolution: 9,
  userApplication: 4,
  flags: 2,
  received: 4,
  dropped: 5,
} as const;

export interface PcapngPacket {
  readonly interface: number;
  readonly timeNs: bigint;
  readonly originalBytes: number;
  readonly frame: Uint8Array;
  readonly direction: "in" | "out";
  readonly comment: string | null;
}

/** The blocks that open a file; packets name an interface by its place in `interfaces`. */
export function pcapngPrologue(interfaces: readonly string[], program: string): Buffer {
  const section = Buffer.alloc(16);
  section.writeUInt32LE(BYTE_ORDER, 0);
  section.writeUInt16LE(1, 4);
  section.writeBigInt64LE(-1n, 8);
  return Buffer.concat([
    block(SECTION, [section, textOption(OPTION.userApplication, program), endOfOptions()]),
    ...interfaces.map((name) => {
      const fixed = Buffer.alloc(8);
      fixed.writeUInt16LE(ETHERNET, 0);
      return block(INTERFACE, [
        fixed,
        textOption(OPTION.name, name),
        option(OPTION.timeResolution, Buffer.from([9])),
        endOfOptions(),
      ]);
    }),
  ]);
}

export function pcapngPacket(packet: PcapngPacket): Buffer {
  const fixed = Buffer.alloc(20);
  fixed.writeUInt32LE(packet.interface, 0);
  fixed.writeUInt32LE(Number(packet.timeNs >> 32n), 4);
  fixed.writeUInt32LE(Number(packet.timeNs & 0xffff_ffffn), 8);
  fixed.writeUInt32LE(packet.frame.length, 12);
  fixed.writeUInt32LE(packet.originalBytes, 16);
  const flags = Buffer.alloc(4);
  flags.writeUInt32LE(packet.direction === "in" ? 1 : 2);
  return block(ENHANCED_PACKET, [
    fixed,
    padded(packet.frame),
    option(OPTION.flags, flags),
    ...(packet.comment === null ? [] : [textOption(OPTION.comment, packet.comment)]),
    endOfOptions(),
  ]);
}

/** Closes a file: what the filter let through, and how much of it is missing here. */
export function pcapngStatistics(timeNs: bigint, matched: number, lost: number): Buffer {
  const fixed = Buffer.alloc(12);
  fixed.writeUInt32LE(Number(timeNs >> 32n), 4);
  fixed.writeUInt32LE(Number(timeNs & 0xffff_ffffn), 8);
  return block(STATISTICS, [
    fixed,
    option(OPTION.received, number64(matched)),
    option(OPTION.dropped, number64(lost)),
    endOfOptions(),
  ]);
}

function block(type: number, parts: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(parts);
  const frame = Buffer.alloc(body.length + 12);
  frame.writeUInt32LE(type, 0);
  frame.writeUInt32LE(frame.length, 4);
  body.copy(frame, 8);
  frame.writeUInt32LE(frame.length, frame.length - 4);
  return frame;
}

function option(code: number, value: Uint8Array): Buffer {
  const head = Buffer.alloc(4);
  head.writeUInt16LE(code, 0);
  head.writeUInt16LE(value.length, 2);
  return Buffer.concat([head, padded(value)]);
}

function textOption(code: number, text: string): Buffer {
  return option(code, Buffer.from(text, "utf8"));
}

function endOfOptions(): Buffer {
  return Buffer.alloc(4);
}

function number64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

function padded(bytes: Uint8Array): Buffer {
  const whole = Buffer.alloc((bytes.length + 3) & ~3);
  whole.set(bytes);
  return whole;
}
