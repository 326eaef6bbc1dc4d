// Which source address a receiver sees: a UDP server that answers each datagram with the address it came from, and a client that
// asks until it is answered. Run in network namespaces as programs of their own.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import type { TestNamespace } from "./network-namespace.js";

const PORT = 7791;
const SERVER = `
const socket = require("node:dgram").createSocket("udp4");
socket.on("message", (_, from) => socket.send(from.address, from.port, from.address));
socket.bind(${PORT}, process.argv[1], () => process.stdout.write("ready"));`;
const CLIENT = `
const socket = require("node:dgram").createSocket("udp4");
const [address, from, port] = process.argv.slice(1);
const ask = () => socket.send("?", ${PORT}, address, () => undefined);
socket.on("message", (text) => { process.stdout.write(String(text)); process.exit(0); });
socket.bind(Number(port), from, ask);
setInterval(ask, 200);
setTimeout(() => process.exit(1), 30000);`;

/** At one address, so that the answer comes from where it was asked. Ends with kill(). */
export async function answerSources(namespace: TestNamespace, address: string): Promise<ChildProcess> {
  const argv = ["netns", "exec", namespace.name, process.execPath, "-e", SERVER, address];
  const server = spawn("ip", argv, { stdio: ["ignore", "pipe", "inherit"] });
  await once(server.stdout, "data");
  return server;
}

/** Of each question its own: connection tracking still knows those of earlier rules. */
let port = 20_000;

/** What the receiver at `to` sees when a datagram leaves `namespace` from its address `from`. */
export async function sourceSeen(namespace: TestNamespace, from: string, to: string): Promise<string> {
  return namespace.exec(process.execPath, "-e", CLIENT, to, from, `${port++}`);
}
