"""The compiled layout of the ABI, read from the XML that abidw writes, and the changes that version
1 permits: structs that begin with their size may grow at their end, nothing else may change."""
import xml.etree.ElementTree

GROWING = ("kvs_error", "kvs_load_note", "kvs_host", "kvs_tick", "kvs_plugin", "kvs_stack",
           "kvs_syncs", "kvs_history")


class Layout:
    """structs: name -> [(offset in bits, field, type in words)]; sizes: name -> bits."""

    def __init__(self, path):
        root = xml.etree.ElementTree.parse(path).getroot()
        self._types = {element.get("id"): element for element in root.iter() if element.get("id")}
        self.structs, self.sizes = {}, {}
        for struct in root.iter("class-decl"):
            if struct.get("name", "").startswith("kvs_") and struct.get("size-in-bits"):
                self.sizes[struct.get("name")] = int(struct.get("size-in-bits"))
                self.structs[struct.get("name")] = [
                    (int(member.get("layout-offset-in-bits")), variable.get("name"),
                     self._words(variable.get("type-id")))
                    for member in struct.iter("data-member") for variable in member.iter("var-decl")]

    def _words(self, identity):
        """The type, resolved down to what has a size; structs by name."""
        element = self._types[identity]
        kind = element.tag
        if kind == "typedef-decl" or kind == "qualified-type-def":
            return self._words(element.get("type-id"))
        if kind == "pointer-type-def":
            return "pointer to " + self._words(element.get("type-id"))
        if kind == "array-type-def":
            length = element.find("subrange").get("length")
            return f"{length} of " + self._words(element.get("type-id"))
        if kind == "function-type":
            parameters = ", ".join(self._words(parameter.get("type-id"))
                                   for parameter in element.iter("parameter"))
            result = element.find("return").get("type-id")
            return f"function({parameters}) giving {self._words(result)}"
        return f"{element.get('name')}/{element.get('size-in-bits')}" \
            if kind == "type-decl" else element.get("name")


def incompatibilities(before, now):
    """Describes the differences that version 1 does not permit."""
    found = []
    for name, fields in before.structs.items():
        new = now.structs.get(name, [])
        for number, field in enumerate(fields):
            if number >= len(new) or new[number] != field:
                found.append(f"{name}.{field[1]}: was {field}, is "
                             f"{new[number] if number < len(new) else 'gone'}")
        if len(new) > len(fields) and name not in GROWING:
            found.append(f"{name} has grown, and crosses the boundary in arrays")
        for offset, field, _ in new[len(fields):]:
            if offset < before.sizes[name]:
                found.append(f"{name}.{field} lies in what was padding: an older side leaves it "
                             "undefined though its size covers it")
        if now.sizes.get(name, 0) < before.sizes[name]:
            found.append(f"{name} has shrunk")
    return found
