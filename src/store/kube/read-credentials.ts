// The program behind credentials.ts: loads @kubernetes/client-node, reads the source once (JSON on standard input), answers
// (JSON on standard output) and ends.
import { readFileSync } from "node:fs";
import type * as https from "node:https";
import { dirname, resolve } from "node:path";
import { text as textOf } from "node:stream/consumers";
import { KubeConfig, loadYaml, type User } from "@kubernetes/client-node";
import type { Credentials, CredentialsAnswer, KubeSource } from "./credentials.js";

async function read({ apiUrl, kubeconfigFile }: KubeSource): Promise<Credentials> {
  const config = new KubeConfig();
  if (kubeconfigFile !== "") {
    config.loadFromFile(kubeconfigFile);
    config.users = config.users.map((user) => withTokenFile(user, kubeconfigFile));
  } else if (apiUrl !== "") {
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
  const user = config.getCurrentUser();
  const tokenFile = tokenFileOf(user);
  const files = [kubeconfigFile, cluster.caFile, user?.certFile, user?.keyFile, tokenFile];
  return {
    server: server.href.replace(/\/+$/, ""),
    headers: Object.fromEntries(headers) as Record<string, string>,
    auth: text(options.auth),
    ca: text(options.ca),
    cert: text(options.cert),
    key: text(options.key),
    servername: text(cluster.tlsServerName ?? options.servername),
    trusting,
    files: files.filter((path): path is string => path !== undefined && path !== ""),
    lasting: tokenFile !== undefined || (user?.exec === undefined && user?.authProvider === undefined),
  };
}

/** kubectl's `tokenFile`, which goes before `token`; the library knows a spelling of its own alone. */
function withTokenFile(user: User, kubeconfigFile: string): User {
  type Entry = { readonly name?: string; readonly user?: Readonly<Record<string, unknown>> | null };
  const { users } = loadYaml<{ users?: readonly Entry[] }>(readFileSync(kubeconfigFile, "utf8"));
  const written = users?.find(({ name }) => name === user.name)?.user;
  const path = written?.["tokenFile"] ?? written?.["token-file"];
  if (typeof path !== "string" || path === "") return user;
  const { token: _, ...rest } = user;
  return {
    ...rest,
    authProvider: { name: "tokenFile", config: { tokenFile: resolve(dirname(kubeconfigFile), path) } },
  };
}

function tokenFileOf(user: User | null): string | undefined {
  const config = (user?.authProvider as { config?: { tokenFile?: unknown } } | undefined)?.config;
  return typeof config?.tokenFile === "string" ? config.tokenFile : undefined;
}

const answer: Promise<CredentialsAnswer> = textOf(process.stdin)
  .then((source) => read(JSON.parse(source) as KubeSource))
  .then(
    (credentials) => ({ credentials }),
    (error: unknown) => ({ problem: error instanceof Error ? error.message : String(error) }),
  );
/** The whole work of this process; nobody imports it. */
export const answered = answer.then((value) => process.stdout.write(JSON.stringify(value)));
