// HTTP by Node's own client inside a host: whole URLs, many at a time. For servers that take the end of what a client sends for
// its end, as those written in Go do and as httpGet does it.

import type { LabHost } from './host.ts';

export interface Fetched {
  /** 0: nobody answered. */
  readonly status: number;
  readonly body: string;
}

const PROGRAM = `
const fetched = JSON.parse(process.argv[1]).map(async (url) => {
  try {
    const answer = await fetch(url);
    return { status: answer.status, body: await answer.text() };
  } catch {
    return { status: 0, body: '' };
  }
});
process.stdout.write(JSON.stringify(await Promise.all(fetched)));
`;

/** The answers in the order of the URLs. */
export async function fetchAll(host: LabHost, urls: readonly string[]): Promise<readonly Fetched[]> {
  const node = ['env', '-u', 'NODE_OPTIONS', process.execPath, '--input-type=module', '-e', PROGRAM];
  const { stdout } = await host.run([...node, JSON.stringify(urls)]);
  return JSON.parse(stdout) as readonly Fetched[];
}
