// Our WireGuard key pair. The private key lies in flannel's file (base64, mode 0400), so that either agent finds the other's.
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { readFile } from "node:fs/promises";
import { processEnvironment } from "../../config/process-environment.js";
import { writeFileAtomic } from "../../lib/atomic-file.js";
import { RipstopError } from "../../lib/errors.js";

export interface WireguardKey {
  readonly privateKey: string;
  readonly publicKey: string;
}

const KEY_FILE = "/run/flannel/wgkey";
const KEY = /^[A-Za-z0-9+/]{43}=$/;
/** PKCS#8 wrapping of a raw X25519 key. */
const PKCS8_X25519 = Buffer.from("302e020100300506032b656e04220420", "hex");

/** Where the private key lies. */
export function wireguardKeyFile(): string {
  const named = processEnvironment()["WIREGUARD_KEY_FILE"];
  return named === undefined || named === "" ? KEY_FILE : named;
}

/** Null: there is no file; throws WIREGUARD_KEY_INVALID when it holds something else. */
export async function readKey(path: string): Promise<WireguardKey | null> {
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return null;
    throw invalid(path, error.message);
  });
  return text === null ? null : keyOf(text.trim(), path);
}

/** The key in the file, or a new one written there; throws as readKey(). */
export async function readOrMakeKey(path: string): Promise<WireguardKey> {
  const present = await readKey(path);
  if (present !== null) return present;
  const made = rawOf(generateKeyPairSync("x25519").privateKey).toString("base64");
  await writeFileAtomic(path, `${made}\n`, { mode: 0o400 });
  return keyOf(made, path);
}

export function isWireguardKey(text: string): boolean {
  return KEY.test(text) && Buffer.from(text, "base64").length === 32;
}

function keyOf(privateKey: string, path: string): WireguardKey {
  if (!isWireguardKey(privateKey)) throw invalid(path, "it does not hold 32 bytes in base64");
  const der = Buffer.concat([PKCS8_X25519, Buffer.from(privateKey, "base64")]);
  const publicKey = createPublicKey(createPrivateKey({ key: der, format: "der", type: "pkcs8" }));
  const spki = publicKey.export({ format: "der", type: "spki" });
  return { privateKey, publicKey: spki.subarray(-32).toString("base64") };
}

function rawOf(privateKey: KeyObject): Buffer {
  return privateKey.export({ format: "der", type: "pkcs8" }).subarray(-32);
}

function invalid(path: string, why: string): RipstopError {
  return new RipstopError(
    "WIREGUARD_KEY_INVALID",
    `cannot use the WireGuard key file ${path} (${why}); remove it for a new key, or name another with WIREGUARD_KEY_FILE`,
    { op: "wireguard" },
  );
}
