// What test/addon/library-border.test.ts does to the library's part of the addon, one scenario per process: `node this NAME`.
// Prints one JSON value. A crash shows as the signal that ended the process. No root.
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { nativeCandidates } from "../../src/dataplane/native.js";
import type { NativeNetworkOptions } from "../../src/library/fabric-binding.js";
import { addon, type LibraryBinding } from "../../src/library/addon.js";
import { Overlay } from "../../src/library/overlay.js";
import { PacketPort } from "../../src/library/packet-port.js";
import { ethernetFrame } from "../../src/testing/packets.js";
import { MemoryLan } from "../../src/testing/memory-lan.js";

const collect = (globalThis as { gc?: () => void }).gc;
const turn = () => new Promise((resolve) => setImmediate(resolve));
const threads = (): number => Number(/Threads:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))?.[1]);

/** A thread that has ended is counted a little longer. */
const PATIENCE_MS = 20_000;

function thrown(action: () => unknown): string {
  try {
    action();
    return "nothing thrown";
  } catch (error) {
    return error instanceof TypeError ? error.message : String(error);
  }
}

const MEMORY = { name: "t", frameBytes: 2048, ringPackets: 64, poison: false };
const FABRIC = { ...MEMORY, kind: "memory", address4: "", address6: "", port: 1, device: "", mtu: 1500 } as const;
const NETWORK: NativeNetworkOptions = {
  ...MEMORY,
  vni: 1,
  bridged: false,
  port: 1,
  checksumV4: false,
  copyDscp: false,
  underlayMtu: 1500,
  learns: true,
  floods: true,
  fdbEntries: 16,
  agingSeconds: 1,
  kind: "memory",
  device: "",
  mtu: 1450,
  ipv6: false,
  superPackets: false,
  puntPackets: 0,
  puntFlows: false,
  flowEntries: 16,
  flowIdleSeconds: 1,
};

function nativePair() {
  const pair = addon().openMemoryPair(MEMORY);
  if ("code" in pair) throw new Error(pair.code);
  return pair;
}
function nativeFabric() {
  const fabric = addon().openFabric(FABRIC);
  if ("code" in fabric) throw new Error(fabric.code);
  return fabric;
}
const codeOf = (value: object): unknown => ("code" in value ? value.code : "opened");

const scenarios: Record<string, () => unknown> = {
  "bad options": () => {
    const binding = addon() as unknown as Record<string, (options: unknown) => object>;
    const fabric = nativeFabric();
    return [
      ...["openPort", "openMemoryPair", "openFabric"].flatMap((name) =>
        [undefined, 7, {}, { kind: 3 }].map((options) => codeOf(binding[name]?.(options) ?? {})),
      ),
      codeOf(fabric.addNetwork(undefined as never)),
      codeOf(fabric.addNetwork({ ...NETWORK, vni: 1 << 24 })),
      codeOf(fabric.addNetwork({ ...NETWORK, fdbEntries: 0 })),
      codeOf(addon().openFabric({ ...FABRIC, kind: "udp", address4: "not an address" })),
      codeOf(addon().openMemoryPair({ ...MEMORY, ringPackets: 3 })),
      codeOf(addon().openMemoryPair({ ...MEMORY, frameBytes: 100 })),
    ];
  },
  "bad arguments": () => {
    const [a] = nativePair();
    const network = nativeFabric().addNetwork(NETWORK);
    if ("code" in network) throw new Error(network.code);
    return [
      thrown(() => a.send({} as never)),
      thrown(() => a.send(network as never)),
      thrown(() => a.readCounters(new BigUint64Array(1))),
      thrown(() => a.wait(7 as never)),
      thrown(() => network.readCounters([] as never)),
      network.apply("table" as never)?.code,
      network.apply(new Uint8Array(72).fill(255))?.code,
      [a.receive("many" as never), a.receive(-1), a.allocate(1e9), a.receive(1e9)],
    ];
  },
  "forged constructors": () => {
    const network = nativeFabric().addNetwork(NETWORK);
    return [nativePair()[0], nativeFabric(), network].map((object) => {
      const forged = object.constructor as new (...args: unknown[]) => unknown;
      return [thrown(() => new forged()), thrown(() => new forged({}))];
    });
  },
  "borrowed methods": () => {
    const [port] = nativePair();
    const fabric = nativeFabric();
    return [
      thrown(() => port.receive.call(fabric as never, 1)),
      thrown(() => fabric.readStrays.call(port as never, new BigUint64Array(1))),
      thrown(() => port.receive.call({} as never, 1)),
    ];
  },
  "use after close": () => {
    const [a, b] = nativePair();
    a.close();
    a.close();
    a.release();
    const fabric = nativeFabric();
    const network = fabric.addNetwork(NETWORK);
    if ("code" in network) throw new Error(network.code);
    fabric.close();
    fabric.close();
    network.close();
    const values = new BigUint64Array(addon().networkCounterLayout.length);
    network.readCounters(values);
    return [
      a.receive(1),
      a.allocate(1),
      a.send(),
      b.send(a),
      a.inspect(),
      a.arena,
      network.apply(new Uint8Array(72))?.code,
      network.inspect(),
      network.fdb(),
      codeOf(fabric.addNetwork(NETWORK)),
      Number(values[0]),
    ];
  },
  "exit while running": () => {
    const lan = new MemoryLan();
    const overlay = Overlay.open({ underlay: lan.join("192.0.2.1"), vni: 1, port: "memory", mode: "bridged" });
    const [port] = PacketPort.pair();
    void port.wait();
    return overlay.inspect()?.mode;
  },
};

/** The same file under two names: two copies in one process, each with its own state. */
async function doubleLoad(): Promise<unknown> {
  const folder = mkdtempSync(join(tmpdir(), "ripstop-double-"));
  try {
    const [source = ""] = nativeCandidates().filter(existsSync);
    const copy = join(folder, "again.node");
    copyFileSync(source, copy);
    const first = addon();
    const second = (createRequire(import.meta.url) as (id: string) => LibraryBinding)(copy);
    const pair = second.openMemoryPair(MEMORY);
    if ("code" in pair) return pair.code;
    const [mine] = nativePair();
    return [
      first === second,
      pair[0].allocate(3),
      pair[0].send(),
      pair[1].receive(64),
      thrown(() => mine.send(pair[0])),
    ];
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** What was forgotten is closed: its threads are gone, and views that outlived it stay readable. */
async function collected(): Promise<unknown> {
  if (collect === undefined) return "needs --expose-gc";
  const before = threads();
  let view: Uint8Array | null = null;
  await (async () => {
    const lan = Overlay.open({ underlay: { address: "192.0.2.1", kind: "memory" }, vni: 1, port: "memory" });
    lan.apply([]);
    const [a, b] = PacketPort.pair();
    a.sendCopies([ethernetFrame({ type: 0x88b5, payload: new Uint8Array(50).fill(7) })]);
    b.receive();
    view = b.arena.subarray(b.offset(0), b.offset(0) + b.length(0));
    void b.wait(AbortSignal.timeout(1)).catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, 10));
  })();
  const during = threads();
  for (const end = performance.now() + PATIENCE_MS; threads() > before && performance.now() < end; await turn())
    collect();
  return [during > before, threads() <= before, (view as Uint8Array | null)?.[20]];
}

async function workerEnds(): Promise<unknown> {
  const before = threads();
  const worker = new Worker(fileURLToPath(import.meta.url), { workerData: "open and wait" });
  const seen = await new Promise((resolve) => worker.once("message", resolve));
  const during = threads();
  await worker.terminate();
  for (const end = performance.now() + PATIENCE_MS; threads() > before && performance.now() < end; ) await turn();
  const [a, b] = PacketPort.pair();
  a.sendCopies([new Uint8Array(60)]);
  return [seen, during - before >= 3, b.receive()];
}

if (!isMainThread && workerData === "open and wait") {
  const lan = new MemoryLan();
  const overlay = Overlay.open({ underlay: lan.join("192.0.2.1"), vni: 1, port: "memory", mode: "bridged" });
  overlay.apply([{ underlay: "192.0.2.2" }]);
  const [port] = PacketPort.pair();
  void port.wait();
  parentPort?.postMessage("opened");
} else {
  const name = process.argv[2] ?? "";
  const waiting: Record<string, () => Promise<unknown>> = {
    "worker thread": workerEnds,
    collected,
    "double load": doubleLoad,
  };
  const answer = await (waiting[name] ?? scenarios[name])?.();
  process.stdout.write(JSON.stringify(answer ?? `no scenario ${name}`));
  process.exit(0);
}
