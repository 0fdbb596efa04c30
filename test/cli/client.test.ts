import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { DaemonClient } from '../../src/cli/client.ts';
import { status } from '../../src/cli/commands/status.ts';

const ends: (() => void)[] = [];
afterEach(() => {
  for (const end of ends.splice(0)) end();
});

/** The run directory of a daemon that does with calls what `listener` does. */
async function daemon(listener: RequestListener): Promise<string> {
  const runDir = mkdtempSync(join(tmpdir(), 'fabric-client-'));
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(`${runDir}/fabric.sock`, resolve));
  ends.push(() => {
    server.close();
    server.closeAllConnections();
    rmSync(runDir, { recursive: true });
  });
  return runDir;
}

const hangs: RequestListener = () => undefined;

test('a daemon that hangs is told with a reason and a cure', async () => {
  const client = new DaemonClient(await daemon(hangs));
  await expect(client.get('/v1/status', { timeoutMs: 50 })).rejects.toMatchObject({
    code: 'timeout',
    explanation: {
      what: expect.stringMatching(/did not answer within 1 s/),
      why: expect.stringMatching(/hangs/),
      fix: expect.stringMatching(/log/),
    },
  });
});

test('who waits for a healthy network waits no longer than told, also for a daemon that hangs', async () => {
  const runDir = await daemon(hangs);
  await expect(status(undefined, undefined, { runDir, wait: true, timeout: '0.3' })).rejects.toMatchObject({
    code: 'timeout',
    explanation: { what: 'not healthy after 0.3 s', why: 'the daemon does not answer' },
  });
});
