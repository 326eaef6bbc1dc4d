// The launcher of this installation: `ripstop dataplane` with the Node that runs us. Used by the agent, or by a launch host for it.
import { fileURLToPath } from "node:url";
import { dataplaneLauncher } from "./dataplane-process.js";

const RIPSTOP = fileURLToPath(new URL("../../../bin/ripstop", import.meta.url));

export interface OwnLauncherOptions {
  readonly logPath: string;
  /** RIPSTOP_NATIVE_PATH, handed on to the data plane. */
  readonly nativePath: string | undefined;
}

export function ownLauncher({ logPath, nativePath }: OwnLauncherOptions): ReturnType<typeof dataplaneLauncher> {
  return dataplaneLauncher({
    command: [process.execPath, RIPSTOP, "dataplane"],
    logPath,
    environment: nativePath === undefined ? {} : { RIPSTOP_NATIVE_PATH: nativePath },
  });
}
