// One question of the page to the daemon. Its own module, because nothing in it needs a page.

/** Beyond what the daemon was asked to wait: one that hangs goes on taking calls. */
const ANSWER_MS_MAX = 15_000;

/** Rejects when nobody answers in time, or not with what was asked for. `waitMs`: how long the daemon may wait for news. */
export async function ask<T>(path: string, waitMs = 0): Promise<T> {
  const wish = { cache: 'no-store', credentials: 'omit', signal: AbortSignal.timeout(waitMs + ANSWER_MS_MAX) } as const;
  const answer = await fetch(path, wish);
  if (!answer.ok) throw new Error(`${path} answered ${answer.status}`);
  return (await answer.json()) as T;
}
