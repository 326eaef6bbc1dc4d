// What test/addon/border.test.ts does to the addon, one scenario per process and network namespace: `node this NAME`.
// Prints one JSON value. A crash shows as the signal that ended the process.
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { Worker, isMainThread, workerData } from "node:worker_threads";
import type { NativeDataplane, NativeError, OpenOptions } from "../../src/dataplane/binding.js";
import { loadNative } from "../../src/dataplane/native.js";

const DEVICE = "rst-border0";
const OPTIONS: OpenOptions = {
  encapsulation: "udp",
  vni: 0,
  port: 8285,
  overlayDevice: DEVICE,
  overlayDeviceV6: "",
  underlayDevice: "lo",
  overlayPort: "auto",
  underlayPort: "auto",
  disable: [],
  checksumV4: true,
  workers: 1,
  cpus: [],
  busyPollUs: 0,
};

function open(changes: Record<string, unknown> = {}): NativeDataplane | NativeError {
  return loadNative().open({ ...OPTIONS, ...changes } as OpenOptions);
}

function opened(): NativeDataplane {
  const made = open();
  if ("code" in made) throw new Error(`${made.code}: ${made.op}: ${made.detail}`);
  return made;
}

function thrown(action: () => unknown): string {
  try {
    action();
    return "nothing thrown";
  } catch (error) {
    return error instanceof TypeError ? error.message : String(error);
  }
}

const deviceExists = (): boolean => execFileSync("ip", ["-o", "link"], { encoding: "utf8" }).includes(DEVICE);

const scenarios: Record<string, () => unknown> = {
  "bad options": () => [
    open({ vni: -1 }),
    open({ vni: 1.5 }),
    open({ encapsulation: "gre" }),
    open({ disable: [7] }),
    open({ workers: 17 }),
    loadNative().open(undefined as unknown as OpenOptions),
  ],
  "missing device": () => open({ underlayDevice: "rst-nowhere" }),
  // With one worker the second would be taken for a successor, which shares the device until the first has ended.
  "occupied device": () => [1, 2].map(() => open({ workers: 2 })).map((made) => ("code" in made ? made.code : "open")),
  "bad table": () => {
    const plane = opened();
    const bytes = new Uint8Array(72).fill(255);
    const apply = (table: unknown) => plane.apply(table as Uint8Array)?.code;
    return [apply(new Uint8Array(3)), apply(bytes), apply("table"), apply(new Uint16Array(36)), apply(undefined)];
  },
  "bad counters": () => {
    const plane = opened();
    const read = (into: unknown) => thrown(() => plane.readCounters(into as BigUint64Array));
    const length = loadNative().counterLayout.length;
    plane.readCounters(new BigUint64Array(2 * length));
    return [new BigUint64Array(1), new BigUint64Array(3 * length), new Float64Array(length), null].map(read);
  },
  "use after close": () => {
    const plane = opened();
    plane.close();
    plane.close();
    const counters = new BigUint64Array(loadNative().counterLayout.length);
    plane.readCounters(counters);
    return [plane.apply(new Uint8Array(72))?.code, plane.inspect().running, counters[0]?.toString(), deviceExists()];
  },
  "forged constructor": () => {
    const forged = opened().constructor as new (...args: unknown[]) => unknown;
    return [thrown(() => new forged()), thrown(() => new forged({})), thrown(() => new forged(1, 2))];
  },
  "exit while open": () => opened().inspect().running,
};

async function workerEnds(): Promise<unknown> {
  const worker = new Worker(fileURLToPath(import.meta.url), { workerData: "open and wait" });
  const seen = await new Promise((resolve) => worker.once("message", resolve));
  const during = deviceExists();
  await worker.terminate();
  return [seen, during, deviceExists(), "code" in open() ? "refused" : "open again"];
}

async function isCollected(): Promise<unknown> {
  const collect = (globalThis as { gc?: () => void }).gc;
  if (!collect) return "needs --expose-gc";
  opened();
  const before = deviceExists();
  for (let round = 0; round < 100 && deviceExists(); round += 1) {
    collect();
    await new Promise((resolve) => setImmediate(resolve));
  }
  return [before, deviceExists()];
}

if (!isMainThread && workerData === "open and wait") {
  const { parentPort } = await import("node:worker_threads");
  const plane = opened();
  parentPort?.postMessage("opened");
  setInterval(() => plane.inspect(), 1_000);
} else {
  const name = process.argv[2] ?? "";
  execFileSync("ip", ["link", "set", "lo", "up"]);
  const waiting: Record<string, () => Promise<unknown>> = { "worker thread": workerEnds, collected: isCollected };
  const answer = await (waiting[name] ?? scenarios[name])?.();
  process.stdout.write(
    JSON.stringify(answer ?? `no scenario ${name}`, (_, value: unknown) =>
      typeof value === "bigint" ? value.toString() : value,
    ),
  );
  process.exit(0);
}
