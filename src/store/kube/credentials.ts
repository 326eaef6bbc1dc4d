// Where the API server is and how we prove who we are. @kubernetes/client-node finds that out, in a thread of its own which ends
// at once: the package takes 70 MiB and most of a second, and what we need of it is a few texts.
import { Worker } from "node:worker_threads";
import { RipstopError } from "../../lib/errors.js";

export interface KubeSource {
  /** flannel's -kube-api-url; empty: as the kubeconfig says. */
  readonly apiUrl: string;
  /** flannel's -kubeconfig-file; empty: in-cluster. */
  readonly kubeconfigFile: string;
}

/** Plain data: it crosses threads. PEM texts as the files have them; undefined where there is none. */
export interface Credentials {
  readonly server: string;
  readonly headers: Readonly<Record<string, string>>;
  /** user:password */
  readonly auth: string | undefined;
  readonly ca: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
  readonly servername: string | undefined;
  /** The server's certificate is not verified, because the kubeconfig says so. */
  readonly trusting: boolean;
}

export type CredentialsAnswer = { readonly credentials: Credentials } | { readonly problem: string };

const READ_MS = 20_000;

/** Rejects with STORE_CONFIG when the source cannot be used. */
export async function readCredentials(source: KubeSource): Promise<Credentials> {
  const worker = new Worker(new URL("./credentials-worker.js", import.meta.url), { workerData: source });
  const timer = setTimeout(() => void worker.terminate(), READ_MS);
  const answer = await new Promise<CredentialsAnswer>((resolve) => {
    worker.once("message", resolve);
    worker.once("error", (error: Error) => resolve({ problem: error.message }));
    worker.once("exit", () => resolve({ problem: `no credentials within ${READ_MS / 1000} s` }));
  });
  clearTimeout(timer);
  void worker.terminate();
  if ("credentials" in answer) return answer.credentials;
  const { apiUrl, kubeconfigFile } = source;
  const name = kubeconfigFile === "" ? (apiUrl === "" ? "the pod's service account" : apiUrl) : kubeconfigFile;
  throw new RipstopError(
    "STORE_CONFIG",
    `cannot use ${name} to reach the Kubernetes API (${answer.problem}); give -kubeconfig-file or -kube-api-url, or run in a pod with a service account`,
  );
}
