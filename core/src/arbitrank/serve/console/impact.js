// The page Impact.

import { empty } from "./elements.js";

export const title = "Impact";

/** Draw the page. */
export async function show(main) {
  main.append(empty("This page is not there yet."));
}
