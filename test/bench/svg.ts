/** The few shapes that the plot is made of. Pure; coordinates are rounded to a tenth, text is escaped. */

export interface TextStyle {
  readonly size?: number;
  readonly anchor?: "start" | "middle" | "end";
  readonly bold?: boolean;
  readonly colour?: string;
}

const tenth = (value: number): string => String(Math.round(value * 10) / 10);

export function escaped(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}

export function text(x: number, y: number, content: string, style: TextStyle = {}): string {
  const { size = 12, anchor = "start", bold = false, colour = "#1e293b" } = style;
  const weight = bold ? ' font-weight="bold"' : "";
  return `<text x="${tenth(x)}" y="${tenth(y)}" font-size="${size}" text-anchor="${anchor}"${weight} fill="${colour}">${escaped(content)}</text>`;
}

export function bar(x: number, y: number, width: number, height: number, colour: string): string {
  return `<rect x="${tenth(x)}" y="${tenth(y)}" width="${tenth(Math.max(0, width))}" height="${tenth(height)}" fill="${colour}"/>`;
}

export function line(
  points: readonly (readonly [number, number])[],
  colour: string,
  width = 1,
  dashed = false,
): string {
  const path = points.map(([x, y]) => `${tenth(x)},${tenth(y)}`).join(" ");
  const dashes = dashed ? ' stroke-dasharray="4 4"' : "";
  return `<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="${width}"${dashes}/>`;
}

export function dot(x: number, y: number, colour: string): string {
  return `<circle cx="${tenth(x)}" cy="${tenth(y)}" r="3" fill="${colour}"/>`;
}

export function document(title: string, width: number, height: number, shapes: readonly string[]): string {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${tenth(width)} ${tenth(height)}" font-family="system-ui, sans-serif">`,
    `<title>${escaped(title)}</title>`,
    bar(0, 0, width, height, "#ffffff"),
    ...shapes,
    "</svg>\n",
  ].join("\n");
}
