// Plots as SVG text: bars, and lines over a logarithmic axis. Pure: numbers in, markup out; nothing is fetched or run.

export interface Bar {
  readonly label: string;
  /** Stacked parts, in the order of the legend. */
  readonly parts: readonly number[];
  /** Where the middle half of all trials lies, for a bar of one part. */
  readonly low?: number;
  readonly high?: number;
}

export interface Line {
  readonly label: string;
  readonly points: ReadonlyArray<readonly [number, number]>;
}

export interface Axes {
  readonly x: string;
  readonly y: string;
  readonly logX?: boolean;
  readonly logY?: boolean;
}

const COLORS = ["#6b7280", "#2563eb", "#dc2626", "#f59e0b", "#059669", "#7c3aed", "#db2777", "#0e7490"];
const WIDTH = 760;
const BAR_HEIGHT = 22;
const LEFT = 130;
const RIGHT = 90;
const PLOT_HEIGHT = 300;
const BOTTOM = 46;

export function colorOf(index: number): string {
  return COLORS[index % COLORS.length] ?? "#000";
}

export function escapeMarkup(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}

/** Horizontal bars from zero. One part: each bar has its own colour; several: the parts have. */
export function barPlot(title: string, bars: readonly Bar[], unit: string, digits: number): string {
  const total = (bar: Bar): number => bar.parts.reduce((sum, part) => sum + Math.max(0, part), 0);
  const most = Math.max(...bars.map((bar) => Math.max(total(bar), bar.high ?? 0)), 1e-9);
  const scale = (WIDTH - LEFT - RIGHT) / most;
  const rows = bars.map((bar, row) => {
    const y = row * (BAR_HEIGHT + 6) + 4;
    let x = LEFT;
    const parts = bar.parts.map((part, index) => {
      const width = Math.max(0, part) * scale;
      const fill = colorOf(bar.parts.length === 1 ? row : index);
      const rect = `<rect x="${fix(x)}" y="${y}" width="${fix(width)}" height="${BAR_HEIGHT}" fill="${fill}"/>`;
      x += width;
      return rect;
    });
    const middle = y + BAR_HEIGHT / 2;
    const whisker =
      bar.low === undefined || bar.high === undefined
        ? ""
        : `<path d="M${fix(LEFT + bar.low * scale)} ${middle}H${fix(LEFT + bar.high * scale)}" stroke="#111" stroke-width="2"/>`;
    const end = Math.max(x, LEFT + (bar.high ?? 0) * scale) + 6;
    const texts =
      `<text x="${LEFT - 8}" y="${middle + 4}" text-anchor="end">${escapeMarkup(bar.label)}</text>` +
      `<text x="${fix(end)}" y="${middle + 4}">${total(bar).toFixed(digits)} ${escapeMarkup(unit)}</text>`;
    return parts.join("") + whisker + texts;
  });
  return svg(title, bars.length * (BAR_HEIGHT + 6) + 8, rows.join(""));
}

export function linePlot(title: string, lines: readonly Line[], axes: Axes): string {
  const points = lines.flatMap((line) => line.points);
  if (points.length === 0) return "";
  const x = axis(
    points.map((point) => point[0]),
    axes.logX === true,
    LEFT,
    WIDTH - RIGHT,
  );
  const y = axis(
    points.map((point) => point[1]),
    axes.logY === true,
    PLOT_HEIGHT - BOTTOM,
    14,
  );
  const grid = [
    ...x.ticks.map(
      (tick) =>
        `<path d="M${fix(x.at(tick))} 14V${PLOT_HEIGHT - BOTTOM}" stroke="#e5e7eb"/>` +
        `<text x="${fix(x.at(tick))}" y="${PLOT_HEIGHT - BOTTOM + 16}" text-anchor="middle">${short(tick)}</text>`,
    ),
    ...y.ticks.map(
      (tick) =>
        `<path d="M${LEFT} ${fix(y.at(tick))}H${WIDTH - RIGHT}" stroke="#e5e7eb"/>` +
        `<text x="${LEFT - 8}" y="${fix(y.at(tick) + 4)}" text-anchor="end">${short(tick)}</text>`,
    ),
  ];
  const curves = lines.map((line, index) => {
    const path = line.points.map(([px, py], at) => `${at === 0 ? "M" : "L"}${fix(x.at(px))} ${fix(y.at(py))}`).join("");
    const dots = line.points
      .map(([px, py]) => `<circle cx="${fix(x.at(px))}" cy="${fix(y.at(py))}" r="2.5"/>`)
      .join("");
    const color = colorOf(index);
    return `<g fill="${color}"><path d="${path}" fill="none" stroke="${color}" stroke-width="1.5"/>${dots}</g>`;
  });
  const names =
    `<text x="${(LEFT + WIDTH - RIGHT) / 2}" y="${PLOT_HEIGHT - 8}" text-anchor="middle">${escapeMarkup(axes.x)}</text>` +
    `<text x="14" y="${PLOT_HEIGHT / 2}" text-anchor="middle" transform="rotate(-90 14 ${PLOT_HEIGHT / 2})">${escapeMarkup(axes.y)}</text>`;
  return svg(title, PLOT_HEIGHT, grid.join("") + curves.join("") + names) + legend(lines.map((line) => line.label));
}

export function legend(labels: readonly string[]): string {
  const items = labels.map(
    (label, index) => `<span><i style="background:${colorOf(index)}"></i>${escapeMarkup(label)}</span>`,
  );
  return `<p class="legend">${items.join(" ")}</p>`;
}

interface Axis {
  readonly at: (value: number) => number;
  readonly ticks: readonly number[];
}

/** Values below the smallest positive one lie on the edge of a logarithmic axis. */
function axis(values: readonly number[], logarithmic: boolean, from: number, to: number): Axis {
  if (!logarithmic) {
    const largest = Math.max(...values);
    const most = largest > 0 ? largest : 1;
    const step = niceStep(most / 5);
    const ticks = Array.from({ length: Math.floor(most / step) + 1 }, (_, index) => index * step);
    return { at: (value) => from + ((to - from) * value) / most, ticks };
  }
  const positive = values.filter((value) => value > 0);
  const low = Math.floor(Math.log10(Math.min(...positive, 1e9)));
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...positive, 1e-9))));
  const at = (value: number): number => {
    const log = value > 0 ? Math.log10(value) : low;
    return from + ((to - from) * (Math.max(log, low) - low)) / (high - low);
  };
  return { at, ticks: Array.from({ length: high - low + 1 }, (_, index) => 10 ** (low + index)) };
}

function niceStep(rough: number): number {
  const power = 10 ** Math.floor(Math.log10(rough));
  return ([1, 2, 5, 10].find((factor) => factor * power >= rough) ?? 10) * power;
}

function short(value: number): string {
  return value >= 1000 ? `${Number((value / 1000).toPrecision(3))}k` : String(Number(value.toPrecision(3)));
}

function fix(value: number): string {
  return value.toFixed(1);
}

/** Its title is what a screen reader says instead. */
function svg(title: string, height: number, content: string): string {
  const name = `<title>${escapeMarkup(title)}</title>`;
  return `<svg viewBox="0 0 ${WIDTH} ${height}" role="img">${name}${content}</svg>`;
}
