"""Generation of a new domain's distribution from the templates in `arbitrank/templates/new`.

    create(names_of("games"), "toolkit", Path(".")) -> Created

A template is a file with `$name` and other names in it, which `string.Template` fills in: the standard library does all
that they need, and a package of one's own cannot be updated from a template that lies in a wheel, without a history.
"""
