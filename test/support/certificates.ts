// Certificates for tests, made by openssl in a folder of their own: authorities, and what they sign.
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

export interface Pair {
  readonly certificate: string;
  readonly key: string;
}

export class Certificates {
  readonly directory: string;

  private constructor(directory: string) {
    this.directory = directory;
  }

  static async folder(): Promise<Certificates> {
    return new Certificates(await mkdtemp(join(tmpdir(), "ripstop-tls-")));
  }

  async authority(name: string): Promise<Pair> {
    await this.#openssl("req", "-x509", ...NEW_KEY, ...this.#files(name), "-subj", `/CN=${name}`, "-days", "2");
    return this.#pair(name);
  }

  /** `names` as in a certificate's subjectAltName, e.g. "IP:127.0.0.1". */
  async signed(name: string, by: Pair, names: string): Promise<Pair> {
    const { key } = this.#pair(name);
    const request = join(this.directory, `${name}.csr`);
    const extensions = join(this.directory, `${name}.ext`);
    await writeFile(extensions, `subjectAltName=${names}\nextendedKeyUsage=serverAuth,clientAuth\n`);
    await this.#openssl("req", ...NEW_KEY, "-keyout", key, "-out", request, "-subj", `/CN=${name}`);
    const signing = ["-CA", by.certificate, "-CAkey", by.key, "-CAcreateserial", "-days", "2", "-extfile", extensions];
    await this.#openssl("x509", "-req", "-in", request, "-out", this.#pair(name).certificate, ...signing);
    return this.#pair(name);
  }

  async remove(): Promise<void> {
    await rm(this.directory, { recursive: true, force: true });
  }

  #pair(name: string): Pair {
    return { certificate: join(this.directory, `${name}.pem`), key: join(this.directory, `${name}.key`) };
  }

  #files(name: string): string[] {
    const { certificate, key } = this.#pair(name);
    return ["-keyout", key, "-out", certificate];
  }

  async #openssl(...words: readonly string[]): Promise<void> {
    await run("openssl", [...words], { cwd: this.directory });
  }
}

const NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
