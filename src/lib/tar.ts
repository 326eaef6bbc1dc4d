// A tar archive (POSIX ustar) of small files in memory. Pure.

export interface TarFile {
  /** At most 99 bytes. */
  readonly name: string;
  readonly content: Uint8Array;
}

const BLOCK = 512;

export function tar(files: readonly TarFile[], mtimeSeconds: number): Buffer {
  const parts = files.flatMap(({ name, content }) => {
    const padded = Buffer.alloc(Math.ceil(content.length / BLOCK) * BLOCK);
    padded.set(content);
    return [header(name, content.length, mtimeSeconds), padded];
  });
  return Buffer.concat([...parts, Buffer.alloc(2 * BLOCK)]);
}

function header(name: string, bytes: number, mtimeSeconds: number): Buffer {
  const block = Buffer.alloc(BLOCK);
  const octal = (value: number, at: number, width: number): void =>
    void block.write(`${value.toString(8).padStart(width - 1, "0")}\0`, at);
  block.write(name.slice(0, 99), 0);
  octal(0o600, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(bytes, 124, 12);
  octal(mtimeSeconds, 136, 12);
  block.fill(" ", 148, 156);
  block.write("0", 156);
  block.write("ustar\u000000", 257);
  octal(
    block.reduce((sum, byte) => sum + byte, 0),
    148,
    7,
  );
  return block;
}
