// The thread behind credentials.ts: loads @kubernetes/client-node, reads the source once, answers, and is ended.
import type * as https from "node:https";
import { parentPort, workerData } from "node:worker_threads";
import { KubeConfig } from "@kubernetes/client-node";
import type { Credentials, CredentialsAnswer, KubeSource } from "./credentials.js";

async function read({ apiUrl, kubeconfigFile }: KubeSource): Promise<Credentials> {
  const config = new KubeConfig();
  if (kubeconfigFile !== "") config.loadFromFile(kubeconfigFile);
  else if (apiUrl !== "") {
    config.loadFromClusterAndUser({ name: "flag", server: apiUrl, skipTLSVerify: false }, { name: "nobody" });
  } else config.loadFromCluster();
  const cluster = config.getCurrentCluster();
  if (cluster === null) throw new Error("it names no cluster");
  const server = new URL(apiUrl === "" ? cluster.server : apiUrl);
  const trusting = cluster.skipTLSVerify === true;
  // The library hands out nothing for plain HTTP without this; with HTTP there is nothing to verify.
  const skipTLSVerify = server.protocol === "http:" || trusting;
  config.clusters = config.clusters.map((one) => (one.name === cluster.name ? { ...one, skipTLSVerify } : one));
  const options: https.RequestOptions = { headers: {} };
  await config.applyToHTTPSOptions(options);
  const text = (value: unknown) => (value === undefined || value === null ? undefined : String(value));
  const headers = Object.entries(options.headers as Record<string, unknown>).map(([name, value]) => [
    name,
    // A token file ends with a newline, which no header may.
    String(value).trim(),
  ]);
  return {
    server: server.href.replace(/\/+$/, ""),
    headers: Object.fromEntries(headers) as Record<string, string>,
    auth: text(options.auth),
    ca: text(options.ca),
    cert: text(options.cert),
    key: text(options.key),
    servername: text(cluster.tlsServerName ?? options.servername),
    trusting,
  };
}

const answer: Promise<CredentialsAnswer> = read(workerData as KubeSource).then(
  (credentials) => ({ credentials }),
  (error: unknown) => ({ problem: error instanceof Error ? error.message : String(error) }),
);
/** The whole work of this thread; nobody imports it. */
export const answered = answer.then((value) => parentPort?.postMessage(value));
