// Shared by bin/ripstop and bin/flanneld: checks what must be there, then hands argv to the compiled program.
// CommonJS and old syntax on purpose: an old Node must be able to read it far enough to say that it is old.
"use strict";

const { existsSync } = require("node:fs");
const { join } = require("node:path");
const { pathToFileURL } = require("node:url");

const OLDEST_NODE = [20, 19];

function refuse(reason) {
  process.stderr.write(`ripstop: ${reason}\n`);
  process.exit(78);
}

function nodeIsTooOld(version) {
  const [major, minor] = version.split(".").map(Number);
  return major < OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor < OLDEST_NODE[1]);
}

module.exports = function launch(args) {
  if (nodeIsTooOld(process.versions.node)) {
    refuse(`Node ${process.versions.node} is too old; install Node ${OLDEST_NODE.join(".")} or newer`);
  }
  const root = join(__dirname, "..");
  const main = join(root, "dist", "src", "main.js");
  if (!existsSync(main)) refuse(`${main} is missing; run 'npm run setup' in ${root}`);
  // Node 22 keeps compiled code on disk; older ones compile what a command needs each time.
  require("node:module").enableCompileCache?.();
  import(pathToFileURL(main).href).then((program) => program.main(args));
};
