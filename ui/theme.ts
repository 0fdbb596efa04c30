// The page's colours as the canvas needs them: read from the style sheet, anew when the reader turns light or dark.

import type { HostNode } from './model.ts';

const NAMES = [
  'ground',
  'ink',
  'aside',
  'line',
  'host',
  'self',
  'container',
  'engine',
  'pcap',
  'vxlan',
  'idle',
  'bad',
  'found',
] as const;

export type Theme = Readonly<Record<(typeof NAMES)[number], string>>;

export function readTheme(): Theme {
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(NAMES.map((name) => [name, style.getPropertyValue(`--${name}`).trim()])) as Theme;
}

/** `changed` is called whenever the reader's wish for light or dark changes. */
export function watchTheme(changed: () => void): void {
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', changed);
}

export function tunnelColour(theme: Theme, { state, tunnel }: HostNode): string {
  if (state === 'dead' || tunnel?.state === 'failed') return theme.bad;
  return tunnel?.state === 'established' ? theme[tunnel.datapath] : theme.idle;
}

/** Of whose blocks are drawn: the same host always has the same, ours is that of this host in the map. */
export function ownerColour(theme: Theme, peer: string, self: string): string {
  if (peer === self) return theme.self;
  return `hsl(${Number.parseInt(peer.slice(0, 6), 16) % 360} 35% 55%)`;
}
