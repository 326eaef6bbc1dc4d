// One TCP connection that is held through a whole test: messages, each echoed and compared. What a reset, a wrong byte or
// a lost connection would look like to an application, and how long it ever had to wait.
import { fileURLToPath } from "node:url";
import { TrafficServer } from "../../src/lab/traffic/server.js";

const SELF = fileURLToPath(import.meta.url);
const PORT = "7790";

export interface ConversationReport {
  readonly messages: number;
  /** Null: the connection lasted. */
  readonly broken: string | null;
  /** Longest wait for an echo, in milliseconds. */
  readonly waitMaxMs: number;
}

export class Conversation {
  readonly #server: TrafficServer;
  readonly #client: TrafficServer;

  private constructor(server: TrafficServer, client: TrafficServer) {
    this.#server = server;
    this.#client = client;
  }

  /** `bytes`: of a message, about; 500 of them a second where nothing else is in the way. */
  static async start(ends: { readonly from: string; readonly to: string; readonly address: string }, bytes = 0) {
    const server = await TrafficServer.start(ends.to, process.execPath, [SELF, "serve"], /^ready$/m);
    try {
      const words = [SELF, "talk", ends.address, String(bytes)];
      const client = await TrafficServer.start(ends.from, process.execPath, words, /^ready$/m);
      return new Conversation(server, client);
    } catch (error) {
      server.kill();
      throw error;
    }
  }

  async end(): Promise<ConversationReport> {
    const said = await this.#client.end();
    await this.#server.killed();
    return JSON.parse(said.trim().split("\n").at(-1) ?? "") as ConversationReport;
  }

  kill(): void {
    this.#client.kill();
    this.#server.kill();
  }
}

async function serve(): Promise<void> {
  const { createServer } = await import("node:net");
  const server = createServer({ noDelay: true }, (socket) => {
    socket.on("error", () => undefined);
    socket.pipe(socket);
  });
  server.listen(Number(PORT), () => process.stdout.write("ready\n"));
}

async function talk(address: string, bytes: number): Promise<void> {
  const { connect } = await import("node:net");
  const socket = connect({ host: address, port: Number(PORT), noDelay: true });
  let broken: string | null = null;
  let messages = 0;
  let waitMaxMs = 0;
  let sentAt = 0;
  let heard = "";
  const padding = ".".repeat(bytes);
  const message = () => `${messages}${padding}\n`;
  const send = () => {
    sentAt = performance.now();
    socket.write(message());
  };
  const finish = () => {
    process.stdout.write(`${JSON.stringify({ messages, broken, waitMaxMs })}\n`, () => process.exit(0));
  };
  socket.on("connect", () => {
    process.stdout.write("ready\n");
    send();
  });
  socket.on("data", (chunk) => {
    heard += chunk.toString();
    if (!heard.endsWith("\n")) return;
    if (heard !== message()) broken ??= `asked ${messages}, heard ${heard}`;
    heard = "";
    messages++;
    waitMaxMs = Math.max(waitMaxMs, performance.now() - sentAt);
    setTimeout(send, 2);
  });
  socket.on("error", (error) => {
    broken ??= error.message;
  });
  socket.on("close", () => {
    broken ??= "closed";
  });
  process.on("SIGTERM", finish);
}

if (process.argv[1] === SELF) {
  if (process.argv[2] === "serve") await serve();
  else await talk(process.argv[3] ?? "", Number(process.argv[4]));
}
