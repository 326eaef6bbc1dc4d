// Asks other nodes whether packets arrive: echo requests through the machine's own ping, and datagrams and connections to a
// closed port, whose refusal is an answer too. A handful of packets each. Owned by doctor, ping and connectivity.
import { createSocket } from "node:dgram";
import { connect } from "node:net";
import { type CommandRunner, runCommand } from "../host/command.js";

/** IP and ICMP headers around a ping's payload. */
const ICMP_OVERHEAD = { 4: 28, 6: 48 } as const;
const UDP_OVERHEAD = { 4: 28, 6: 48 } as const;
/** So many pings ask whether there is an answer; more of them measure, and the last has as much time as the others. */
const LOOK = 5;
/** Discard: nobody listens there. */
const CLOSED_PORT = 9;
const TRY_MS = 1_000;

export interface PingAnswer {
  readonly sent: number;
  readonly received: number;
  /** Milliseconds; null without an answer. */
  readonly minMs: number | null;
  readonly avgMs: number | null;
  readonly p99Ms: number | null;
}

export interface PingOptions {
  readonly count?: number;
  readonly intervalSeconds?: number;
  /** Length of the whole IP packet; it must not be fragmented. */
  readonly bytes?: number;
  /** SO_MARK of the requests. */
  readonly mark?: number;
  readonly run?: CommandRunner;
}

export async function ping(address: string, options: PingOptions = {}): Promise<PingAnswer> {
  const { count = 3, intervalSeconds = 0.1, bytes, mark, run = runCommand } = options;
  const family = familyOf(address);
  const size = bytes === undefined ? [] : ["-M", "do", "-s", `${bytes - ICMP_OVERHEAD[family]}`];
  const marked = mark === undefined ? [] : ["-m", `${mark}`];
  // With a deadline ping sends on until it has `count` answers. Without one it waits for the last no longer than an interval or two
  // round trips, and takes an answer that comes later for lost.
  const deadline = Math.ceil(count * intervalSeconds) + (count > LOOK ? 1 : 0);
  const pace = ["-c", `${count}`, "-i", `${intervalSeconds}`, "-w", `${deadline}`];
  const { stdout } = await run(["ping", `-${family}`, "-n", ...pace, ...size, ...marked, address], {
    environment: { LC_ALL: "C", PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
  });
  const lines = [...stdout.matchAll(/ icmp_seq=(\d+) .*time=([\d.]+) ms$/gm)]; // "(DUP!)" stands behind "ms".
  const times = lines
    .filter(([, sequence]) => Number(sequence) <= count)
    .map(([, , ms]) => Number(ms))
    .sort((a, b) => a - b);
  // An error that comes back from the network ends it early.
  const transmitted = Number(/^(\d+) packets transmitted/m.exec(stdout)?.[1] ?? 0) || count;
  return {
    sent: Math.min(count, transmitted),
    received: times.length,
    minMs: times[0] ?? null,
    avgMs: times.length === 0 ? null : times.reduce((sum, ms) => sum + ms, 0) / times.length,
    p99Ms: times[Math.ceil(times.length * 0.99) - 1] ?? null,
  };
}

export interface MtuSearch {
  /** Known to pass. */
  readonly least: number;
  readonly most: number;
  /** What it probably is, tried first; `most` without. */
  readonly guess?: number;
  readonly mark?: number;
}

/** The longest packet that gets through unfragmented; null: not even `least`. */
export async function searchMtu(address: string, search: MtuSearch): Promise<number | null> {
  const { least, most, guess = most, mark } = search;
  const passes = async (bytes: number): Promise<boolean> =>
    (await ping(address, { count: 2, bytes, ...(mark === undefined ? {} : { mark }) })).received > 0;
  let [low, high] = [least, most + 1];
  if (await passes(guess)) low = guess;
  else high = guess;
  if (low === guess && guess < most && !(await passes(guess + 1))) return guess;
  if (high === guess && !(await passes(least))) return null;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (await passes(middle)) low = middle;
    else high = middle;
  }
  return low;
}

/** True when a host answers a connection, with whatever answer. */
export function tcpAnswers(address: string, port = CLOSED_PORT): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port });
    const end = (answered: boolean): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(answered);
    };
    const timer = setTimeout(() => end(false), TRY_MS);
    socket.once("connect", () => end(true));
    socket.once("error", (error: NodeJS.ErrnoException) => end(error.code === "ECONNREFUSED"));
  });
}

/** True when a host says that nobody listens: the datagram arrived whole, and the answer came back. Tries three times. */
export async function udpAnswers(address: string, bytes: number, port = CLOSED_PORT): Promise<boolean> {
  for (let attempt = 0; attempt < 3; attempt++) {
    if (await tryUdp(address, bytes, port)) return true;
  }
  return false;
}

function tryUdp(address: string, bytes: number, port: number): Promise<boolean> {
  const family = familyOf(address);
  const socket = createSocket(family === 4 ? "udp4" : "udp6");
  return new Promise((resolve) => {
    const end = (answered: boolean): void => {
      clearTimeout(timer);
      socket.close();
      resolve(answered);
    };
    const timer = setTimeout(() => end(false), TRY_MS / 2);
    socket.once("error", (error: NodeJS.ErrnoException) => end(error.code === "ECONNREFUSED"));
    socket.connect(port, address, () => socket.send(Buffer.alloc(Math.max(1, bytes - UDP_OVERHEAD[family]))));
  });
}

function familyOf(address: string): 4 | 6 {
  return address.includes(":") ? 6 : 4;
}
