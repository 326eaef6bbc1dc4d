// TCP throughput with iperf3, the generator everybody knows. One server for each run, ended with it.
import { z } from "zod";
import { RipstopError } from "../../lib/errors.js";
import { Runner } from "../runner.js";
import { TrafficServer } from "./server.js";

export interface IperfOptions {
  readonly from: string;
  readonly to: string;
  readonly address: string;
  readonly port?: number;
  readonly seconds: number;
  readonly streams?: number;
  /** Data flows from `to` to `from`, over the same connection set-up. */
  readonly reverse?: boolean;
  /** A limit for all streams together; absent: as fast as they can. */
  readonly megabitsPerSecond?: number;
  /** The first part of the run that is not counted. */
  readonly omitSeconds?: number;
  readonly signal?: AbortSignal;
}

const reportSchema = z.object({
  end: z.object({
    sum_sent: z.object({ retransmits: z.number().optional() }),
    sum_received: z.object({ bytes: z.number(), seconds: z.number(), bits_per_second: z.number() }),
  }),
});

export interface IperfResult {
  /** As the receiver counted it. */
  readonly bitsPerSecond: number;
  readonly bytes: number;
  readonly retransmits: number;
}

export async function runIperfTcp(options: IperfOptions): Promise<IperfResult> {
  const port = String(options.port ?? 5201);
  // --forceflush: iperf3 buffers "Server listening" when its output is a pipe.
  const server = await TrafficServer.start(
    options.to,
    "iperf3",
    ["-s", "-1", "-p", port, "--forceflush"],
    /Server listening/,
  );
  try {
    const args = [
      "-c",
      options.address,
      "-p",
      port,
      "-J",
      "-t",
      String(options.seconds),
      "-P",
      String(options.streams ?? 1),
    ];
    if (options.reverse === true) args.push("-R");
    if (options.megabitsPerSecond !== undefined)
      args.push("-b", `${options.megabitsPerSecond / (options.streams ?? 1)}M`);
    if (options.omitSeconds !== undefined) args.push("-O", String(options.omitSeconds));
    const result = await new Runner().runIn(options.from, "iperf3", args, {
      timeoutMs: (options.seconds + (options.omitSeconds ?? 0)) * 1000 + 30_000,
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    const parsed = reportSchema.safeParse(parseReport(result.stdout));
    if (!parsed.success)
      throw new RipstopError(
        "LAB_TRAFFIC",
        `iperf3 in ${options.from} failed: ${complaint(result.stdout, result.stderr)}`,
      );
    const { sum_sent, sum_received } = parsed.data.end;
    return {
      bitsPerSecond: sum_received.bits_per_second,
      bytes: sum_received.bytes,
      retransmits: sum_sent.retransmits ?? 0,
    };
  } finally {
    server.kill();
  }
}

function parseReport(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function complaint(stdout: string, stderr: string): string {
  const report = z.object({ error: z.string() }).safeParse(parseReport(stdout));
  return report.success ? report.data.error : stderr.trim().split("\n")[0] || "no report";
}
