// Numbered, sealed UDP packets from one namespace to another at a set rate, and the account of every one of them.
import { z } from "zod";
import { RipstopError } from "../../lib/errors.js";
import { Runner } from "../runner.js";
import { TrafficServer } from "./server.js";
import { anyOf, lastJson, toolPath } from "./tools.js";

export interface UdpLoadOptions {
  readonly from: string;
  readonly to: string;
  /** The receiver's address. */
  readonly address: string;
  readonly port?: number;
  /** Packets a second; 0: as fast as the sender can. */
  readonly rate: number;
  /** Payload bytes, at least 32. */
  readonly size?: number;
  readonly flows?: number;
  /** Packets handed to the kernel in one call (UDP_SEGMENT), as QUIC senders do. */
  readonly segments?: number;
  /** Ends after so many packets, or after `milliseconds`, whichever comes first. */
  readonly packets?: number;
  readonly milliseconds?: number;
  /** How long nothing must arrive before the account is closed; at least that, and `missingQuietMs` while some of `packets` are missing. */
  readonly quietMs?: number;
  readonly missingQuietMs?: number;
  /** Sender and receiver before everything else on the machine, so that what it does meanwhile is not taken for the network's doing. */
  readonly realtime?: boolean;
  /** Awaited between the last packet and the closing of the account, e.g. that queues on the way are empty. */
  readonly settled?: () => Promise<unknown>;
  readonly signal?: AbortSignal;
}

const sentSchema = z.object({
  sent: z.number(),
  refused: z.number(),
  /** Packets that were overdue at once, and went in one burst. */
  behind_max: z.number(),
  seconds: z.number(),
  rate: z.number(),
  cpu_seconds: z.number(),
});

const sinkSchema = z.object({
  received: z.number(),
  unique: z.number(),
  duplicates: z.number(),
  reordered: z.number(),
  reorder_distance_max: z.number(),
  too_old: z.number(),
  corrupt: z.number(),
  foreign: z.number(),
  bytes: z.number(),
  socket_drops: z.number(),
  seconds: z.number(),
  rate: z.number(),
  gap_max_us: z.number(),
  /** Longest time, by the sender's clock, of which nothing arrived. */
  outage_max_us: z.number(),
  latency_us: z.object({ p50: z.number(), p99: z.number(), p999: z.number(), max: z.number() }),
});

export interface UdpLoadResult {
  readonly sender: z.infer<typeof sentSchema>;
  readonly sink: z.infer<typeof sinkSchema>;
  /** Sent and never arrived. */
  readonly lost: number;
}

export async function runUdpLoad(options: UdpLoadOptions): Promise<UdpLoadResult> {
  const port = String(options.port ?? 7777);
  const tool = toolPath("udp_load");
  const { quietMs = 50, missingQuietMs = 5_000 } = options;
  const patience = ["--quiet-milliseconds", String(quietMs), "--packets", String(options.packets ?? 0)];
  patience.push("--missing-quiet-milliseconds", String(Math.max(quietMs, missingQuietMs)));
  const [program, ...before] = options.realtime === true ? ["chrt", "--fifo", "1", tool] : [tool];
  const server = await TrafficServer.start(
    options.to,
    program as string,
    [...before, "sink", "--bind", anyOf(options.address), "--port", port, ...patience],
    /^ready$/m,
  );
  try {
    const milliseconds = options.milliseconds ?? 30_000;
    const runner = new Runner();
    const sending = [...before, ...sendArguments(options, port, milliseconds)];
    const sent = await runner.runIn(options.from, program as string, sending, {
      timeoutMs: milliseconds + 30_000,
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    if (sent.code !== 0) throw new RipstopError("LAB_TRAFFIC", `udp_load in ${options.from}: ${sent.stderr.trim()}`);
    const sender = sentSchema.parse(lastJson(sent.stdout));
    await options.settled?.();
    const sink = sinkSchema.parse(lastJson(await server.end()));
    return { sender, sink, lost: sender.sent - sink.unique };
  } finally {
    server.kill();
  }
}

function sendArguments(options: UdpLoadOptions, port: string, milliseconds: number): string[] {
  const args = ["send", "--to", options.address, "--port", port, "--rate", String(options.rate)];
  args.push("--milliseconds", String(milliseconds));
  for (const name of ["size", "flows", "segments", "packets"] as const) {
    const value = options[name];
    if (value !== undefined) args.push(`--${name}`, String(value));
  }
  return args;
}
