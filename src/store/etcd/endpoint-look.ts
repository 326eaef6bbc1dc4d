// One look at each endpoint of an etcd, by itself: for `ripstop doctor`. The store's own client asks whichever answers, so that
// a member that is slow, without a leader or with a wrong clock goes unnoticed. Reads only, with the agent's own credentials.
import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import type { EtcdOptions } from "../../config/options.js";
import { createEtcdClient, etcdEndpoints, readTlsFiles, type TlsFiles } from "./client.js";

const LOOK_MS = 3_000;

export interface EndpointLook {
  readonly endpoint: string;
  readonly version: string | null;
  /** A read that the leader confirms; null when it was refused. */
  readonly latencyMs: number | null;
  readonly role: "leader" | "follower" | "no leader" | null;
  /** At least so much its clock is ahead of ours (negative: behind); null: it did not say. */
  readonly skewMs: number | null;
  /** Why it is no use; null: it is. */
  readonly failure: string | null;
}

export async function lookAtEndpoints(options: EtcdOptions): Promise<readonly EndpointLook[]> {
  const { origins, secure } = etcdEndpoints(options);
  const tls = readTlsFiles(options, secure);
  return await Promise.all(origins.map((endpoint) => lookAt(endpoint, options, tls, secure)));
}

async function lookAt(endpoint: string, options: EtcdOptions, tls: TlsFiles, secure: boolean): Promise<EndpointLook> {
  const client = createEtcdClient(options, { origins: [endpoint], secure }, tls);
  const deadline = () => ({ deadline: Date.now() + LOOK_MS });
  let seen: Omit<EndpointLook, "latencyMs" | "failure"> = {
    endpoint,
    version: null,
    role: null,
    skewMs: await clockSkew(endpoint, tls).catch(() => null),
  };
  try {
    const { version, leader, header } = await client.maintenance.status(deadline());
    const role = leader === "0" ? "no leader" : leader === header.member_id ? "leader" : "follower";
    seen = { ...seen, version, role };
    const startMs = performance.now();
    await client.kv.range({ key: Buffer.from(`${options.prefix}/config`) }, deadline());
    return { ...seen, latencyMs: performance.now() - startMs, failure: null };
  } catch (error) {
    return { ...seen, latencyMs: null, failure: error instanceof Error ? error.message : String(error) };
  } finally {
    client.close();
  }
}

/** By the Date of an HTTP answer, which etcd gives at the same port. */
function clockSkew(endpoint: string, { credentials }: TlsFiles): Promise<number | null> {
  const url = `${endpoint}/version`;
  const own =
    credentials === null
      ? {}
      : { ca: credentials.rootCertificate, cert: credentials.certChain, key: credentials.privateKey };
  const sentMs = Date.now();
  return new Promise((resolve, reject) => {
    const request = (url.startsWith("https:") ? httpsRequest : httpRequest)(
      url,
      { ...own, agent: false, signal: AbortSignal.timeout(LOOK_MS) },
      (response) => {
        response.resume();
        resolve(skewOf(response.headers.date, sentMs, Date.now()));
      },
    );
    request.on("error", reject).end();
  });
}

/** What cannot be explained by the way there and back, and by the Date being cut to whole seconds. */
export function skewOf(date: string | undefined, sentMs: number, heardMs: number): number | null {
  const atMs = Date.parse(date ?? "");
  if (Number.isNaN(atMs)) return null;
  if (atMs > heardMs) return atMs - heardMs;
  return Math.min(0, atMs + 1_000 - sentMs);
}
