// Colours for a terminal, by their ANSI codes. Pure; whoever calls it has asked CommandContext.colors.

const CODES = { red: 31, green: 32, yellow: 33, bold: 1, faint: 2 } as const;
export type Paint = keyof typeof CODES;

export function paint(text: string, color: Paint): string {
  return `\u001b[${CODES[color]}m${text}\u001b[0m`;
}
