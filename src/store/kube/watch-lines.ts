// Lines of a watch stream: one JSON object each, cut anywhere by the network. A line without end is an error, so that a
// broken server cannot fill the memory. Pure.

const LINE_BYTES_MAX = 8 << 20;
const NEWLINE = 0x0a;

export async function* splitLines(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string, void, void> {
  let parts: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of chunks) {
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      const line = Buffer.concat([...parts, chunk.subarray(start, end)]).toString("utf8");
      parts = [];
      size = 0;
      start = end + 1;
      if (line.trim() !== "") yield line;
    }
    if (start === chunk.length) continue;
    parts.push(chunk.subarray(start));
    size += chunk.length - start;
    if (size > LINE_BYTES_MAX) throw new Error(`a line is longer than ${LINE_BYTES_MAX >> 20} MiB`);
  }
}
