// Opens the Kubernetes store: finds out which node we are, as flanneld does, from NODE_NAME or from our own pod.
import { Backoff } from "../../lib/backoff.js";
import { systemClock } from "../../lib/clock.js";
import { RipstopError } from "../../lib/errors.js";
import type { KubeApi } from "./api.js";
import { KubeHttpApi } from "./http-api.js";
import { KubeStore } from "./kube-store.js";
import { record } from "./node.js";

export interface KubeOptions {
  readonly apiUrl: string;
  readonly kubeconfigFile: string;
  readonly annotationPrefix: string;
  readonly netConfigPath: string;
  readonly setNodeNetworkUnavailable: boolean;
}

export interface WhereWeRun {
  readonly nodeName: string | null;
  readonly podName: string | null;
  readonly podNamespace: string | null;
}

const BACKOFF = { initialMs: 500, maxMs: 5_000 };

/** Waits for the API server only when the pod has to be asked for its node; `waiting` is told why, once per reason. */
export async function openKubeStore(
  options: KubeOptions,
  where: WhereWeRun,
  waiting: (error: Error) => void,
  signal: AbortSignal,
): Promise<KubeStore> {
  const api = await KubeHttpApi.open(options);
  const nodeName = where.nodeName ?? (await askPod(api, where, waiting, signal));
  return new KubeStore({
    api,
    nodeName,
    annotationPrefix: options.annotationPrefix,
    netConfigPath: options.netConfigPath,
    setCondition: options.setNodeNetworkUnavailable,
  });
}

async function askPod(
  api: KubeApi,
  { podName, podNamespace }: WhereWeRun,
  waiting: (error: Error) => void,
  signal: AbortSignal,
): Promise<string> {
  if (podName === null || podNamespace === null) {
    throw new RipstopError(
      "STORE_CONFIG",
      "it is not known which node this is: set NODE_NAME, or POD_NAME and POD_NAMESPACE (in a manifest: fieldRef spec.nodeName)",
    );
  }
  const backoff = new Backoff(BACKOFF);
  let said = "";
  for (;;) {
    try {
      const pod = await api.getPod(podNamespace, podName, signal);
      const name = record(pod?.["spec"])["nodeName"];
      if (typeof name === "string" && name !== "") return name;
      throw new RipstopError(
        "STORE_UNAVAILABLE",
        `pod ${podNamespace}/${podName} is on no node yet, or does not exist`,
      );
    } catch (error) {
      if (signal.aborted)
        throw new RipstopError("START_INTERRUPTED", "stopped while asking which node this is", { exitCode: 0 });
      if (error instanceof RipstopError && error.message !== said) waiting(error);
      said = (error as Error).message;
      await systemClock.sleep(backoff.nextMs(), signal);
    }
  }
}
