// A TCP proxy on loopback whose faults a test chooses: cut (connections reset, new ones refused), black hole (bytes are
// swallowed, nobody is told, whether or not somebody listens behind it) and delay.
import { createServer, connect, type Server, type Socket } from "node:net";

export class TcpProxy {
  readonly port: number;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #mode: "pass" | "cut" | "swallow" = "pass";
  #delayMs = 0;

  private constructor(server: Server, port: number) {
    this.#server = server;
    this.port = port;
  }

  static async open(targetPort: number): Promise<TcpProxy> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    if (typeof address !== "object" || address === null) throw new Error("no port");
    const proxy = new TcpProxy(server, address.port);
    server.on("connection", (inner) => proxy.#accept(inner, targetPort));
    return proxy;
  }

  get endpoint(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Resets what is open and refuses what comes. */
  cut(): void {
    this.#mode = "cut";
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  /** Bytes of either direction come so much later. */
  delay(ms: number): void {
    this.#delayMs = ms;
  }

  /** Swallows all bytes of open and new connections. */
  swallow(): void {
    this.#mode = "swallow";
  }

  pass(): void {
    if (this.#mode === "swallow") for (const socket of this.#sockets) socket.resetAndDestroy();
    this.#mode = "pass";
  }

  close(): void {
    this.cut();
    this.#server.close();
  }

  #accept(inner: Socket, targetPort: number): void {
    if (this.#mode === "cut") {
      inner.resetAndDestroy();
      return;
    }
    if (this.#mode === "swallow") {
      this.#sockets.add(inner);
      inner.resume().on("error", () => undefined);
      inner.on("close", () => this.#sockets.delete(inner));
      return;
    }
    const outer = connect(targetPort, "127.0.0.1");
    for (const [from, to] of [
      [inner, outer],
      [outer, inner],
    ] as const) {
      this.#sockets.add(from);
      from.setNoDelay(true);
      from.on("data", (bytes) => {
        if (this.#mode !== "pass") return;
        if (this.#delayMs === 0) to.write(bytes);
        else setTimeout(() => to.writable && to.write(bytes), this.#delayMs);
      });
      from.on("error", () => to.destroy());
      from.on("close", () => {
        this.#sockets.delete(from);
        to.destroy();
      });
    }
  }
}
