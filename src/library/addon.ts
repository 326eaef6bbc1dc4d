// The native addon, loaded when the library first needs it: importing Ripstop needs neither root nor the addon.
import { nativePath } from "../config/native-path.js";
import type { Binding } from "../dataplane/binding.js";
import { loadNative } from "../dataplane/native.js";
import { RipstopError } from "../lib/errors.js";
import type { FabricBinding } from "./fabric-binding.js";
import type { PortBinding } from "./port-binding.js";

export type LibraryBinding = Binding & PortBinding & FabricBinding;

let loaded: LibraryBinding | null = null;

/** Throws NATIVE_LOAD_FAILED or NATIVE_BORDER_MISMATCH. */
export function addon(): LibraryBinding {
  loaded ??= load();
  return loaded;
}

/** Whether the addon can be loaded here, and if not, why. Opens nothing. */
export function isSupported(): { readonly supported: true } | { readonly supported: false; readonly reason: string } {
  try {
    addon();
    return { supported: true };
  } catch (error) {
    return { supported: false, reason: error instanceof Error ? error.message : String(error) };
  }
}

function load(): LibraryBinding {
  const binding = loadNative({ path: nativePath() }) as Partial<LibraryBinding> & Binding;
  const missing = (["openPort", "openMemoryPair", "openFabric"] as const).filter((name) => binding[name] === undefined);
  if (missing.length === 0) return binding as LibraryBinding;
  throw new RipstopError(
    "NATIVE_BORDER_MISMATCH",
    `the native addon lacks ${missing.join(", ")}; rebuild it with \`npm run build\``,
  );
}
