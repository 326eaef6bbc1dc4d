// Credentials that stay good: read again when one of their files is another one (tokens and certificates are replaced by
// others), after a while when they were handed out for a time, and when the server refused them.
import { statSync } from "node:fs";
import { type Credentials, type KubeSource, readCredentials } from "./credentials.js";

const AGE_MS = 600_000;
const LOOK_MS = 10_000;
const REFUSED_MS = 30_000;

export class CurrentCredentials {
  readonly #source: KubeSource;
  #credentials: Credentials;
  #readAtMs = performance.now();
  #lookedAtMs = performance.now();
  #files: string;
  #reading: Promise<void> | null = null;

  /** `credentials`: as just read from `source`. */
  constructor(source: KubeSource, credentials: Credentials) {
    this.#source = source;
    this.#credentials = credentials;
    this.#files = fileTimes(credentials);
  }

  static async open(source: KubeSource): Promise<CurrentCredentials> {
    return new CurrentCredentials(source, await readCredentials(source));
  }

  get value(): Credentials {
    return this.#credentials;
  }

  /** Before a request; looks at the files now and then. */
  async refresh(): Promise<void> {
    const now = performance.now();
    if (now - this.#lookedAtMs < LOOK_MS) return;
    this.#lookedAtMs = now;
    const old = !this.#credentials.lasting && now - this.#readAtMs >= AGE_MS;
    if (old || this.#replaced) await this.#read();
  }

  /** The server refused them. Reading costs a second of a core, so a server that refuses for long is no reason to go on with it. */
  async renew(): Promise<void> {
    if (this.#replaced || performance.now() - this.#readAtMs >= REFUSED_MS) await this.#read();
  }

  get #replaced(): boolean {
    return fileTimes(this.#credentials) !== this.#files;
  }

  #read(): Promise<void> {
    this.#reading ??= this.#readOnce().finally(() => {
      this.#reading = null;
    });
    return this.#reading;
  }

  async #readOnce(): Promise<void> {
    // Looked at before they are read: what is replaced meanwhile is read once more.
    const files = fileTimes(this.#credentials);
    this.#readAtMs = performance.now();
    this.#credentials = await readCredentials(this.#source);
    this.#files = files;
  }
}

function fileTimes({ files }: Credentials): string {
  return files.map((path) => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0).join();
}
