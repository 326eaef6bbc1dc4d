// `ripstop capture`: what the data plane receives, sends and drops, as lines or as pcapng. The workers copy what the filter
// lets through; this process fetches it over the data-plane socket, and the capture ends with the connection.
import { createWriteStream, type WriteStream } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { type Command, InvalidArgumentError, Option } from "commander";
import { runPaths } from "../agent/run-dir.js";
import { CAPTURE_POINTS, type CapturedPacket, type CapturePoint, readRecords } from "../dataplane/capture-records.js";
import { type CaptureStart, DataplaneClient } from "../dataplane/client.js";
import { compileCaptureFilter } from "../host/capture-filter.js";
import { RipstopError } from "../lib/errors.js";
import { ripstopVersion } from "../lib/version.js";
import { describeFrame } from "../observe/packet-line.js";
import { pcapngPacket, pcapngPrologue, pcapngStatistics } from "../observe/pcapng.js";
import type { CommandContext, OptionsCommand } from "./command.js";
import { examples } from "./help.js";
import { runDirOption } from "./shared-options.js";

const POINTS = Object.keys(CAPTURE_POINTS) as CapturePoint[];
const DEADLINE_MS = 10_000;
/** Between two looks at a ring that was empty. */
const IDLE_MS = 20;

interface CaptureFlags {
  readonly runDir: string;
  readonly point: readonly CapturePoint[];
  readonly write?: string;
  readonly count?: number;
  readonly snaplen: number;
  readonly seconds?: number;
}

interface Sink {
  packet(packet: CapturedPacket): void;
  end(matched: number, lost: number): Promise<void>;
}

export const captureCommand: OptionsCommand = {
  kind: "options",
  register(program: Command, context: CommandContext): void {
    program
      .command("capture")
      .description("show packets that the data plane receives, sends or drops (tcpdump does not see them all)")
      .argument("[filter...]", "tcpdump-style filter, see pcap-filter(7)")
      .addOption(
        new Option("-i, --point <list>", `where to look: ${POINTS.join(", ")}`)
          .default(["overlay", "underlay"])
          .argParser(parsePoints),
      )
      .option("-w, --write <file>", "write pcapng to a file, or to standard output with -")
      .option("-c, --count <n>", "end after this many packets", parseCount)
      .option("-s, --snaplen <bytes>", "keep at most this much of a packet (64 to 262144)", parseSnaplen, 262_144)
      .option("--seconds <n>", "end after this time", parseCount)
      .addOption(runDirOption())
      .addHelpText(
        "after",
        examples(
          ["ripstop capture icmp", "pings, inside (overlay); add -i underlay for the encapsulated side"],
          ["ripstop capture -i drop", "every packet that is dropped, with the reason"],
          ["ripstop capture -i underlay -w - 'udp port 8472' | tcpdump -nr -", "what goes over the wire, decoded"],
          ["ripstop capture -w /tmp/all.pcapng -c 1000", "for Wireshark; drop reasons are packet comments"],
        ),
      )
      .action(async (filter: string[], flags: CaptureFlags) => capture(filter.join(" "), flags, context));
  },
};

async function capture(expression: string, flags: CaptureFlags, context: CommandContext): Promise<void> {
  const filter = await compileCaptureFilter(expression);
  const { dataplaneSocket } = runPaths(flags.runDir);
  const client = await DataplaneClient.connect(dataplaneSocket, { deadlineMs: DEADLINE_MS }).catch((cause: unknown) => {
    if ((cause as Partial<RipstopError>).code !== "DATAPLANE_ABSENT") throw cause;
    throw new RipstopError(
      "DATAPLANE_ABSENT",
      `no data plane answers at ${dataplaneSocket}: the kernel's path carries the packets, and tcpdump sees them there; \`ripstop status\` says why`,
      { cause },
    );
  });
  const onAbort = () => client.disconnect();
  try {
    const { opened } = await client.hello("observe");
    const started = await client.captureStart({
      points: flags.point.reduce((all, point) => all | CAPTURE_POINTS[point], 0),
      snapBytes: flags.snaplen,
      filter,
    });
    const sink =
      flags.write === undefined
        ? lineSink(started, opened?.encapsulation === "vxlan" ? opened.port : null, context)
        : await pcapngSink(started, flags.write, context);
    context.err(`capturing at ${flags.point.join(", ")}; end with Ctrl-C\n`);
    const { taken, matched, lost } = await fetchPackets(client, flags, sink, context.signal);
    await sink.end(matched, lost);
    context.err(`${taken} packets captured, ${matched} matched the filter, ${lost} lost because nobody read in time\n`);
  } finally {
    onAbort();
  }
}

async function fetchPackets(
  client: DataplaneClient,
  flags: CaptureFlags,
  sink: Sink,
  signal: AbortSignal,
): Promise<{ taken: number; matched: number; lost: number }> {
  const end = flags.seconds === undefined ? Number.POSITIVE_INFINITY : performance.now() + flags.seconds * 1000;
  const most = flags.count ?? Number.POSITIVE_INFINITY;
  let taken = 0;
  for (;;) {
    // The last look comes after the end, so that what was seen before it is not missed.
    const over = signal.aborted || performance.now() >= end;
    const { records, matched, lost } = await client.captureRead();
    for (const packet of readRecords(records)) {
      if (taken === most) break;
      taken++;
      sink.packet(packet);
    }
    if (taken === most || (over && records.length === 0)) return { taken, matched, lost };
    if (records.length === 0) await delay(IDLE_MS, undefined, { signal }).catch(() => undefined);
  }
}

function lineSink(started: CaptureStart, vxlanPort: number | null, context: CommandContext): Sink {
  return {
    packet(packet) {
      const { point, direction, segments, frame, originalBytes } = packet;
      const time = new Date(Number((packet.timeNs + started.clockOffsetNs) / 1_000_000n)).toISOString().slice(11, 23);
      const reason = reasonOf(packet, started);
      const super_ = segments > 1 ? ` (${segments} segments)` : "";
      const what = reason === null ? direction.padEnd(3) : `${direction.padEnd(3)} ${reason}`;
      context.out(`${time} ${point.padEnd(8)} ${what} ${describeFrame(frame, originalBytes, vxlanPort)}${super_}\n`);
    },
    end: async () => undefined,
  };
}

async function pcapngSink(started: CaptureStart, file: string, context: CommandContext): Promise<Sink> {
  const stream = file === "-" ? null : await openFile(file);
  const write = (bytes: Buffer): void => void (stream === null ? context.outBytes(bytes) : stream.write(bytes));
  write(
    pcapngPrologue(
      POINTS.map((point) => `ripstop-${point}`),
      `ripstop ${ripstopVersion()}`,
    ),
  );
  return {
    packet(packet) {
      const reason = reasonOf(packet, started);
      write(
        pcapngPacket({
          interface: POINTS.indexOf(packet.point),
          timeNs: packet.timeNs + started.clockOffsetNs,
          originalBytes: packet.originalBytes,
          frame: packet.frame,
          direction: packet.direction,
          comment: reason === null ? null : `dropped: ${reason}`,
        }),
      );
    },
    async end(matched, lost) {
      write(pcapngStatistics(BigInt(Date.now()) * 1_000_000n, matched, lost));
      if (stream !== null) await new Promise<void>((resolve) => stream.end(resolve));
    },
  };
}

function reasonOf(packet: CapturedPacket, { dropReasons }: CaptureStart): string | null {
  return packet.reason === null ? null : (dropReasons[packet.reason] ?? `reason ${packet.reason}`);
}

function openFile(file: string): Promise<WriteStream> {
  return new Promise((resolve, reject) => {
    // Packets are other people's business.
    const stream = createWriteStream(file, { mode: 0o600 });
    stream.once("open", () => resolve(stream));
    stream.once("error", (cause: NodeJS.ErrnoException) =>
      reject(
        new RipstopError("OUTPUT_FILE", `cannot write ${file} (${cause.code ?? cause.message}); choose another -w`, {
          op: "open",
          cause,
        }),
      ),
    );
  });
}

function parsePoints(text: string): CapturePoint[] {
  return text.split(",").map((word) => {
    const point = POINTS.find((one) => one === word.trim());
    if (point === undefined) throw new InvalidArgumentError(`'${word}' is none of ${POINTS.join(", ")}.`);
    return point;
  });
}

function parseCount(text: string): number {
  const count = Number(text);
  if (!Number.isSafeInteger(count) || count < 1) throw new InvalidArgumentError("It must be a whole number above 0.");
  return count;
}

function parseSnaplen(text: string): number {
  const bytes = Number(text);
  if (!Number.isSafeInteger(bytes) || bytes < 64 || bytes > 262_144)
    throw new InvalidArgumentError("It must be 64 to 262144.");
  return bytes;
}
