// To the door, which leads back to this page.
export function door() {
  location.assign(`/sign-in?next=${encodeURIComponent(location.pathname + location.search)}`);
}
