import { afterEach, expect, test, vi } from 'vitest';
import { ask } from '../../ui/ask.ts';

afterEach(() => {
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

/** A daemon that takes calls and answers none. */
function hang(_path: string, { signal }: RequestInit): Promise<Response> {
  return new Promise((_resolve, reject) => signal?.addEventListener('abort', () => reject(signal.reason)));
}

test('a daemon that hangs is given up, but not before what it was asked to wait', async () => {
  const limits: { readonly ms: number; readonly controller: AbortController }[] = [];
  vi.stubGlobal('fetch', hang);
  vi.spyOn(AbortSignal, 'timeout').mockImplementation((ms) => {
    const controller = new AbortController();
    limits.push({ ms, controller });
    return controller.signal;
  });
  const asked = [ask('/v1/status'), ask('/v1/events?wait=25', 25_000)];
  expect(limits.map(({ ms }) => ms)).toEqual([15_000, 40_000]);
  for (const { controller } of limits) controller.abort(new Error('too late'));
  for (const each of asked) await expect(each).rejects.toThrow('too late');
});
