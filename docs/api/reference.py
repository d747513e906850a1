#!/usr/bin/env python3
"""Makes the reference in docs/api.md from the comments of proto/kvstore/v1/key_value.proto.

Run it when that file has changed; it needs Debian's protobuf-compiler and python3-protobuf. What stands
above the mark in the page is written by hand and stays. A test compares the reference with the .proto file.
"""
import os
import subprocess
import sys
import tempfile

from google.protobuf import descriptor_pb2

HERE = os.path.dirname(os.path.abspath(__file__))
PAGE = os.path.join(os.path.dirname(HERE), "api.md")
PROTOS = os.path.join(os.path.dirname(os.path.dirname(HERE)), "proto")
PROTO = "kvstore/v1/key_value.proto"
PACKAGE = ".kvstore.v1."
MARK = "<!-- Everything below is made by docs/api/reference.py from the comments of the .proto file. -->\n"

Field = descriptor_pb2.FieldDescriptorProto
SCALARS = {Field.TYPE_STRING: "string", Field.TYPE_BYTES: "bytes", Field.TYPE_BOOL: "bool",
           Field.TYPE_UINT64: "uint64", Field.TYPE_INT64: "int64", Field.TYPE_UINT32: "uint32",
           Field.TYPE_INT32: "int32"}
# Numbers of the fields of descriptor.proto, of which a place in the file consists.
MESSAGES, ENUMS, SERVICES = 4, 5, 6  # of a file
FIELDS, NESTED, NESTED_ENUMS, ONEOFS = 2, 3, 4, 8  # of a message
MEMBERS = 2  # of a service or an enum


def read_proto():
    """The descriptor of the file, with the places of its comments."""
    with tempfile.TemporaryDirectory(prefix="kvstore-api-") as folder:
        path = os.path.join(folder, "set")
        subprocess.run(["protoc", f"-I{PROTOS}", "--include_source_info", f"--descriptor_set_out={path}",
                        PROTO], check=True)
        with open(path, "rb") as file:
            return descriptor_pb2.FileDescriptorSet.FromString(file.read()).file[0]


class Reference:
    """Walks the file and collects the lines; `missing` has the names of what has no comment."""

    def __init__(self, file):
        self.file = file
        self.comments = {tuple(place.path): self.text(place) for place in file.source_code_info.location}
        self.lines = []
        self.missing = []

    @staticmethod
    def text(place):
        """The comments before and behind something, as one line; its paragraphs end in "<br>"."""
        paragraphs = [" ".join(part.split()) for comment in (place.leading_comments, place.trailing_comments)
                      for part in comment.split("\n\n")]
        return "<br>".join(part for part in paragraphs if part).replace("|", "\\|")

    def comment(self, path, name):
        text = self.comments.get(path, "")
        if not text:
            self.missing.append(name)
        return text[:1].upper() + text[1:]

    @staticmethod
    def anchor(name):
        return name.lower().replace(".", "")

    def type_name(self, field):
        if field.type in SCALARS:
            name = f"`{SCALARS[field.type]}`"
        else:
            name = field.type_name.removeprefix(PACKAGE)
            name = f"[`{name}`](#{self.anchor(name)})"
        return f"repeated {name}" if field.label == Field.LABEL_REPEATED else name

    def table(self, head, rows):
        self.lines += [f"| {' | '.join(head)} |", "|" + " --- |" * len(head)]
        self.lines += [f"| {' | '.join(row)} |" for row in rows] + [""]

    def describe_enum(self, enum, path, name):
        self.lines += [f"#### {name}", "", self.comment(path, name), ""]
        self.table(("value", "number", "meaning"), [
            (f"`{value.name}`", str(value.number),
             self.comment(path + (MEMBERS, i), f"{name}.{value.name}"))
            for i, value in enumerate(enum.value)])

    def describe_message(self, message, path, name):
        self.lines += [f"#### {name}", "", self.comment(path, name), ""]
        rows = []
        for i, field in enumerate(message.field):
            one_of = f"one of `{message.oneof_decl[field.oneof_index].name}`" \
                if field.HasField("oneof_index") else ""
            rows.append((f"`{field.name}`", str(field.number), self.type_name(field),
                         ": ".join(filter(None, (one_of, self.comment(path + (FIELDS, i),
                                                                      f"{name}.{field.name}"))))))
        if rows:
            self.table(("field", "number", "type", "meaning"), rows)
        for i, nested in enumerate(message.nested_type):
            self.describe_message(nested, path + (NESTED, i), f"{name}.{nested.name}")
        for i, enum in enumerate(message.enum_type):
            self.describe_enum(enum, path + (NESTED_ENUMS, i), f"{name}.{enum.name}")

    def describe_service(self, service, path):
        self.lines += [f"### {service.name}", "", self.comment(path, service.name), ""]
        rows = []
        for i, method in enumerate(service.method):
            stream = ["stream " if streaming else "" for streaming in
                      (method.client_streaming, method.server_streaming)]
            types = [name.removeprefix(PACKAGE) for name in (method.input_type, method.output_type)]
            rows.append((f"`{method.name}`",
                         " → ".join(f"{part}[`{name}`](#{self.anchor(name)})"
                                    for part, name in zip(stream, types)),
                         self.comment(path + (MEMBERS, i), f"{service.name}.{method.name}")))
        self.table(("method", "request → response", "what it does"), rows)

    def make(self):
        self.lines += ["## Reference", ""]
        for i, service in enumerate(self.file.service):
            self.describe_service(service, (SERVICES, i))
        self.lines += ["### Messages", ""]
        for i, message in enumerate(self.file.message_type):
            self.describe_message(message, (MESSAGES, i), message.name)
        self.lines += ["### Enums", ""]
        for i, enum in enumerate(self.file.enum_type):
            self.describe_enum(enum, (ENUMS, i), enum.name)
        return "\n".join(line for i, line in enumerate(self.lines)
                         if line or (i and self.lines[i - 1])).rstrip() + "\n"


def main():
    with open(PAGE, encoding="utf-8") as file:
        written = file.read().partition(MARK)[0]
    reference = Reference(read_proto())
    text = reference.make()
    if reference.missing:
        sys.exit(f"these have no comment in {PROTO}: {', '.join(reference.missing)}")
    with open(PAGE, "w", encoding="utf-8") as file:
        file.write(written + MARK + "\n" + text)


if __name__ == "__main__":
    main()
