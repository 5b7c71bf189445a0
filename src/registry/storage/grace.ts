/**
 * How old must be what nobody asked for to go. Asking for it renews its time only where that is older than `resolution`:
 * so much is added, so that who asked may rely on it for all of `grace`. Milliseconds. Without a grace time (0, or less)
 * everything may go.
 */
export function collectedAge(grace: number, resolution: number): number {
  return grace > 0 ? grace + resolution : grace
}
