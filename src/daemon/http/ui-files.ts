// The files of the map (ui/), as the HTTP port serves them: those named here and no others, so that no path leads anywhere else.
// The page may load scripts and styles from this port and nothing from elsewhere, and runs nothing that stands in its markup.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { INSTALLATION } from '../../host/installation.ts';
import type { HttpRoutes } from './http-port.ts';

const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  'img-src data:',
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

const PAGE = 'ui/index.html';
const STYLE = 'ui/map.css';
/** Compiled; the first is the page's, which asks for the others by these paths. */
const SCRIPTS = [
  'ui/main.js',
  'ui/ask.js',
  'ui/camera.js',
  'ui/feed.js',
  'ui/model.js',
  'ui/panel.js',
  'ui/scene.js',
  'ui/strip.js',
  'ui/theme.js',
  'src/cli/status/rates.js',
  'src/cli/table.js',
];

export function uiRoutes(root = INSTALLATION): HttpRoutes {
  const serve = (path: string, type: string): HttpRoutes[string] => {
    return async () => ({
      type,
      body: await readFile(join(root, path)),
      headers: { 'content-security-policy': POLICY },
    });
  };
  return {
    '/': serve(PAGE, 'text/html; charset=utf-8'),
    [`/${STYLE}`]: serve(STYLE, 'text/css; charset=utf-8'),
    ...Object.fromEntries(
      SCRIPTS.map((path) => [`/${path}`, serve(join('dist', path), 'text/javascript; charset=utf-8')]),
    ),
  };
}
