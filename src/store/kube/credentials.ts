// Where the API server is and how we prove who we are. @kubernetes/client-node finds that out, in a process of its own which
// ends at once: the package takes 70 MiB and most of a second, what we need of it is a few texts, and a thread would leave
// 20 MiB behind in ours.
import { spawn } from "node:child_process";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { RipstopError } from "../../lib/errors.js";

export interface KubeSource {
  /** flannel's -kube-api-url; empty: as the kubeconfig says. */
  readonly apiUrl: string;
  /** flannel's -kubeconfig-file; empty: in-cluster. */
  readonly kubeconfigFile: string;
}

/** Plain data: it crosses processes. PEM texts as the files have them; undefined where there is none. */
export interface Credentials {
  readonly server: string;
  readonly headers: Readonly<Record<string, string>>;
  /** user:password */
  readonly auth?: string | undefined;
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  readonly servername?: string | undefined;
  /** The server's certificate is not verified, because the kubeconfig says so. */
  readonly trusting: boolean;
  /** What they were read from: another file there, and they have to be read again. */
  readonly files: readonly string[];
  /** False when a program or a service handed them out for a time. */
  readonly lasting: boolean;
}

export type CredentialsAnswer = { readonly credentials: Credentials } | { readonly problem: string };

const READ_MS = 20_000;
const READER = fileURLToPath(new URL("./read-credentials.js", import.meta.url));

/** Rejects with STORE_CONFIG when the source cannot be used. */
export async function readCredentials(source: KubeSource): Promise<Credentials> {
  const answer = await ask(source).catch((error: Error) => ({ problem: error.message }));
  if ("credentials" in answer) return answer.credentials;
  const { apiUrl, kubeconfigFile } = source;
  const name = kubeconfigFile === "" ? (apiUrl === "" ? "the pod's service account" : apiUrl) : kubeconfigFile;
  throw new RipstopError(
    "STORE_CONFIG",
    `cannot use ${name} to reach the Kubernetes API (${answer.problem}); give -kubeconfig-file or -kube-api-url, or run in a pod with a service account`,
  );
}

async function ask(source: KubeSource): Promise<CredentialsAnswer> {
  const child = spawn(process.execPath, [READER], { stdio: "pipe", timeout: READ_MS, killSignal: "SIGKILL" });
  const ended = new Promise<string>((resolve) => {
    child.once("error", (error) => resolve(error.message));
    child.once("close", (code, signal) => resolve(`no credentials: ${signal ?? `exit ${code}`}`));
  });
  // One that ends without reading closes the pipe; what it said tells the story.
  child.stdin.on("error", () => undefined);
  child.stdin.end(JSON.stringify(source));
  const [said, complaint, end] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
  if (said === "") return { problem: [end, complaint.trim().slice(-500)].filter((part) => part !== "").join(": ") };
  return JSON.parse(said) as CredentialsAnswer;
}
