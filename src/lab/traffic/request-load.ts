// One request, one answer, over and over: how long each took, between two namespaces.
import { z } from "zod";
import { RipstopError } from "../../lib/errors.js";
import { Runner } from "../runner.js";
import { TrafficServer } from "./server.js";
import { lastJson, toolPath } from "./tools.js";

export interface RequestLoadOptions {
  readonly from: string;
  readonly to: string;
  readonly address: string;
  readonly port?: number;
  /** "connect": a new TCP connection for each request. */
  readonly protocol: "tcp" | "udp" | "connect";
  readonly milliseconds: number;
  readonly size?: number;
  readonly signal?: AbortSignal;
}

const askedSchema = z.object({
  answered: z.number(),
  failed: z.number(),
  seconds: z.number(),
  rate: z.number(),
  /** Microseconds. */
  p50: z.number(),
  p90: z.number(),
  p99: z.number(),
  p999: z.number(),
  max: z.number(),
  /** Share and microseconds. */
  quantiles: z.array(z.tuple([z.number(), z.number()])),
});

export type RequestLoadResult = z.infer<typeof askedSchema>;

export async function runRequestLoad(options: RequestLoadOptions): Promise<RequestLoadResult> {
  const port = String(options.port ?? 7779);
  const tool = toolPath("request_load");
  const server = await TrafficServer.start(options.to, tool, ["serve", "--port", port], /^ready$/m);
  try {
    const args = ["ask", "--to", options.address, "--port", port, "--protocol", options.protocol];
    args.push("--size", String(options.size ?? 64), "--milliseconds", String(options.milliseconds));
    const asked = await new Runner().runIn(options.from, tool, args, {
      timeoutMs: options.milliseconds + 30_000,
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    if (asked.code !== 0)
      throw new RipstopError("LAB_TRAFFIC", `request_load in ${options.from}: ${asked.stderr.trim()}`);
    return askedSchema.parse(lastJson(asked.stdout));
  } finally {
    server.kill();
  }
}
