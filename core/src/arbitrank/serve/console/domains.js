// The page Domains.

import { empty } from "./elements.js";

export const title = "Domains";

/** Draw the page. */
export async function show(main) {
  main.append(empty("This page is not there yet."));
}
