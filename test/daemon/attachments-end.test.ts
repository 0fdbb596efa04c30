import { describe, expect, test } from 'vitest';
import { key, never, request, setUp, turn } from './attachments-world.ts';

describe('before the end', () => {
  test('nothing new is attached, what is under way is waited for', async () => {
    const { attachments, host, entries } = setUp();
    let made = (): void => undefined;
    host.before.addContainer = () => new Promise((resolve) => (made = resolve));
    const first = attachments.attach(request(), never);
    await turn();
    attachments.refuse('the daemon stops');
    await expect(attachments.attach(request({ containerId: 'c2' }), never)).rejects.toThrow(/the daemon stops/);
    let isIdle = false;
    const idle = attachments.idle(60_000).then(() => (isIdle = true));
    await turn();
    expect(isIdle).toBe(false);
    made();
    await Promise.all([first, idle]);
    expect(entries.get(key)?.state).toBe('attached');
    attachments.refuse(null);
    expect(attachments.readiness('fabric')).toBeNull();
  });

  test('an operation that does not end is not waited for beyond the limit', async () => {
    const { attachments, host } = setUp();
    host.before.addContainer = () => new Promise(() => undefined);
    void attachments.attach(request(), never);
    await attachments.idle(1);
  });
});
