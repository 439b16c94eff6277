/** `smtpproxy check`. */
export async function check(_args: readonly string[]): Promise<number> {
  return 1;
}
