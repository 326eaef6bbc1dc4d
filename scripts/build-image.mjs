#!/usr/bin/env node
// Carries out deploy/Dockerfile without a container engine, as root: build-image.mjs builds what has changed; --path prints where
// the file system of the last stage is, or nothing. Base images are Debian from its mirror (debootstrap) with this machine's
// Node; the first stage runs on an overlay of this machine, whose compilers set-up has installed. Kept outside the checkout.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { homedir, tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";

const root = resolve(import.meta.dirname, "..");
const cache =
  process.env.RIPSTOP_PEERS_DIR ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "ripstop-peers");
/** What earlier builds of the same inputs left in the checkout, as an engine's build cache would have it. */
const LAYER_CACHE = [".setup", "node_modules", "dist", "build"];
const run = (program, args, options = {}) =>
  execFileSync(program, args, { stdio: ["ignore", "inherit", "inherit"], ...options });
const hash = (...texts) => createHash("sha256").update(texts.join("\0")).digest("hex").slice(0, 16);

/** [{ base, name, steps: [{ verb, text }] }] */
function stagesOf(text) {
  const lines = text.split("\n").filter((line) => !/^\s*#/.test(line));
  const stages = [];
  for (const line of lines.join("\n").replace(/\\\n/g, " ").split("\n")) {
    const [, verb, rest] = /^(\w+)\s+(.*)$/.exec(line.trim()) ?? [];
    if (verb === undefined) continue;
    if (!["FROM", "WORKDIR", "COPY", "RUN", "ENTRYPOINT"].includes(verb)) throw new Error(`cannot carry out ${verb}`);
    if (verb === "FROM") {
      const [base, , name = "last"] = rest.split(/\s+/);
      stages.push({ base, name, steps: [] });
    } else stages.at(-1).steps.push({ verb, text: rest });
  }
  return stages;
}

/** `script` sees the mounts it makes alone. */
const privately = (script, ...args) =>
  run("unshare", ["--mount", "--propagation", "private", "bash", "-ec", script, "bash", ...args]);

const MOUNTS = `
  mount --rbind /dev "$1/dev"; mount -t proc proc "$1/proc"; mount -t sysfs sysfs "$1/sys"
  [ "$1" = / ] || { touch "$1/etc/resolv.conf"; mount --bind /etc/resolv.conf "$1/etc/resolv.conf"; }`;

function runIn(place, workdir, command) {
  privately(`${MOUNTS}\nexec chroot "$1" sh -ec 'cd "$1"; eval "$2"' sh "$2" "$3"`, place, workdir, command);
}

/** Debian with Node, and the steps before anything of ours is copied: the same for every build. */
function baseOf({ base, steps }) {
  const suite = /^node:20-(\w+)-slim$/.exec(base)?.[1];
  if (suite === undefined) throw new Error(`no way to make the base image ${base}`);
  const before = steps.slice(
    0,
    steps.findIndex(({ verb }) => verb === "COPY"),
  );
  const place = join(cache, `base-${hash(suite, process.version, JSON.stringify(before))}`);
  if (existsSync(place)) return { place, rest: steps.slice(before.length) };
  const making = `${place}.new`;
  rmSync(making, { recursive: true, force: true });
  for (const name of readdirSync(cache)) if (name.startsWith("base-")) rmSync(join(cache, name), { recursive: true });
  run("debootstrap", ["--variant=minbase", suite, making], { stdio: ["ignore", "ignore", "inherit"] });
  run("install", ["-D", process.execPath, join(making, "usr/local/bin/node")]);
  for (const { text } of before) runIn(making, "/", text);
  renameSync(making, place);
  return { place, rest: steps.slice(before.length) };
}

/** Where there is no Debian to be had, there is no image, and its tests are skipped. */
function baseOrEnd(stage) {
  try {
    return baseOf(stage);
  } catch (error) {
    console.log(`image: no base image can be made here (${error.message}); its tests are skipped`);
    process.exit(0);
  }
}

/** Where this repository's files are when the first stage has ended; on an overlay of this machine, which is left as it is. */
function firstStage({ steps }, into) {
  const context = join(into, "context");
  mkdirSync(context);
  const ignored = readFileSync(join(root, ".dockerignore"), "utf8")
    .split("\n")
    .filter((line) => line !== "");
  const exclude = ignored.map((pattern) => `--exclude=./${pattern}`);
  const packed = join(into, "context.tar");
  run("tar", ["-C", root, "--anchored", "--no-wildcards-match-slash", ...exclude, "-cf", packed, "."]);
  run("tar", ["-C", context, "-xf", packed]);
  for (const name of LAYER_CACHE) if (existsSync(join(root, name))) run("cp", ["-a", join(root, name), context]);
  const [workdir, copy, ...commands] = steps;
  if (workdir?.verb !== "WORKDIR" || copy?.text !== ". ." || commands.some(({ verb }) => verb !== "RUN")) {
    throw new Error("the first stage has other steps than WORKDIR, COPY . . and RUN");
  }
  // The upper layer is a file system of its own: an overlay's layers must not lie in one another.
  const script = `mkdir -p "$2/layers"; mount -t tmpfs tmpfs "$2/layers"; cd "$2/layers"; mkdir upper work merged
    mount -t overlay overlay -o lowerdir=/,upperdir=upper,workdir=work merged; mkdir -p "merged$3"
    mount --bind "$1" "merged$3"; set -- "$2/layers/merged" "$3" "$4"
    ${MOUNTS}
    exec chroot "$1" sh -ec 'cd "$1"; eval "$2"' sh "$2" "$3"`;
  for (const { text } of commands) privately(script, context, into, workdir.text, text);
  return { workdir: workdir.text, context };
}

function lastStage(steps, place, from) {
  for (const { verb, text } of steps) {
    if (verb === "RUN") runIn(place, "/", text);
    else if (verb === "ENTRYPOINT") writeFileSync(join(place, ".entrypoint"), text);
    else if (verb === "COPY") {
      const [, stage, source, target] = /^--from=(\w+)\s+(\S+)\s+(\S+)$/.exec(text) ?? [];
      if (stage !== "build" || !source.startsWith(`${from.workdir}/`)) throw new Error(`cannot carry out COPY ${text}`);
      const at = join(from.context, source.slice(from.workdir.length));
      // As COPY does it: a folder's contents; a file under the name, or into the folder that the slash says.
      const to = join(place, target.endsWith("/") ? join(target, source.split("/").at(-1)) : target);
      mkdirSync(dirname(to), { recursive: true });
      cpSync(at, to, { recursive: true, verbatimSymlinks: true });
    } else throw new Error(`cannot carry out ${verb} in the last stage`);
  }
}

function inputs() {
  const files = execFileSync(
    "git",
    [
      "ls-files",
      "-z",
      "bin",
      "src",
      "native",
      "package-lock.json",
      "package.json",
      "deploy/Dockerfile",
      ".dockerignore",
      "scripts",
    ],
    { cwd: root, encoding: "utf8" },
  );
  return hash(
    ...files
      .split("\0")
      .filter((name) => name !== "" && existsSync(join(root, name)))
      .map((name) => `${name}\0${readFileSync(join(root, name), "latin1")}`),
    process.version,
  );
}

const image = join(cache, `image-${inputs()}`);
if (process.argv[2] === "--path") {
  if (existsSync(image)) console.log(image);
} else if (existsSync(image)) {
  console.log("image: is built");
} else {
  console.log("image: carrying out deploy/Dockerfile");
  mkdirSync(cache, { recursive: true });
  const into = mkdtempSync(join(tmpdir(), "ripstop-image-"));
  try {
    const [first, last] = stagesOf(readFileSync(join(root, "deploy/Dockerfile"), "utf8"));
    const { place, rest } = baseOrEnd(last);
    const from = firstStage(first, into);
    const making = `${image}.new`;
    for (const name of readdirSync(cache))
      if (name.startsWith("image-")) rmSync(join(cache, name), { recursive: true });
    run("cp", ["-a", place, making]);
    lastStage(rest, making, from);
    renameSync(making, image);
  } finally {
    rmSync(into, { recursive: true, force: true });
  }
}
