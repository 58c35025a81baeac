# The text of a file, for ci/prose: what a person reads in it, without the code.
#
# A text is one string of units (a paragraph, a comment, a literal) separated by line feeds. Each unit is joined into one
# line, so that an expression also matches where the source breaks the line.
package Text;
use strict;
use warnings;
use utf8;
use File::Basename qw(basename);

our $columns = 100;

# Text->read(PATH, SOURCE): the text of a file; its language follows from its name, which is a unit too.
sub read {
    my ($class, $path, $source) = @_;
    my $text = $class->new;
    $text->name(1, basename($path) =~ s/\.\w+$//r);
    local $_ = $path;
    if    (/\.md$/)              { read_markdown($text, $source) }
    elsif (/\.rs$/)              { read_rust($text, $source) }
    elsif (/\.snap$/)            { read_snapshot($text, $source) }
    elsif (/\.(?:js|css|html)$/) { read_lines($text, $source, '//|/\*|\*|<!--') }
    else                         { read_lines($text, $source, '#+') }
    return $text;
}

# Text->message(SOURCE): the text of Markdown, whose lines may have any length.
sub message {
    my ($class, $source) = @_;
    my $text = $class->new;
    read_markdown($text, $source, 1);
    return $text;
}

# text: the string; anchors: [offset, line] pairs; problems: [line, message] pairs.
sub new { my ($class) = @_; return bless { text => '', unit => 0, anchors => [], problems => [] }, $class }

sub add {
    my ($self, $line, $words) = @_;
    $words =~ s/\s+/ /g;
    $words =~ s/^ //;
    return if $words eq '';
    push @{ $self->{anchors} }, [ length $self->{text}, $line ];
    $self->{text} .= $words =~ / $/ ? $words : "$words ";
}

# Ends a unit. What is in backquotes, and the targets of links, are overwritten.
sub end {
    my ($self) = @_;
    my $unit = substr $self->{text}, $self->{unit};
    $unit =~ s/(`+)([^`].*?)\1(?!`)/$1 . 'x' x length($2) . $1/ge;
    $unit =~ s/(\]\()([^()\s]+)\)/$1 . 'x' x length($2) . ')'/ge;
    substr($self->{text}, $self->{unit}) = "$unit\n" if $unit ne '';
    $self->{unit} = length $self->{text};
}

sub unit { my ($self, $line, $words) = @_; $self->end; $self->add($line, $words); $self->end }

# The name of an item or a file: `is_live`, `IsLive` and `is-live` are two words.
sub name {
    my ($self, $line, $name) = @_;
    $name =~ s/(?<=[a-z0-9])(?=[A-Z])/ /g;
    $name =~ s/[_.-]+/ /g;
    $self->unit($line, $name);
}

sub line {
    my ($self, $offset) = @_;
    my ($low, $high, $anchors) = (0, $#{ $self->{anchors} }, $self->{anchors});
    while ($low < $high) {
        my $middle = int(($low + $high + 1) / 2);
        if ($anchors->[$middle][0] <= $offset) { $low = $middle } else { $high = $middle - 1 }
    }
    return $high < 0 ? 1 : $anchors->[$low][1];
}

# One reader for each language, called with the text and the source of a file.

sub read_markdown {
    my ($text, $source, $unwrapped) = @_;
    my ($number, $fence) = (0);
    for my $line (split /\n/, $source) {
        $number++;
        if ($line =~ /^[\s>]*(```+|~~~+)/ && (!$fence || index($1, $fence) == 0)) {
            $fence = $fence ? undef : $1;
            $text->end;
            next;
        }
        next if $fence;
        if ($line =~ /^\s*\|(.*)/) {
            $text->unit($number, $_) for split /(?<!\\)\|/, $1;
            next;
        }
        if (!$unwrapped && length $line > $columns && $line !~ /^[\s>]*(?:(?:[-*+]|\d+[.)])\s+)?\S+$/) {
            push @{ $text->{problems} }, [ $number, "the line has " . length($line) . " columns: wrap it at $columns" ];
        }
        $text->end if $line =~ /^[\s>]*(?:$|[-*+]\s|\d+[.)]\s|#)/;
        $text->add($number, $line);
        $text->end if $line =~ /^#/;
    }
    $text->end;
}

# Paragraphs of output, after the metadata.
sub read_snapshot {
    my ($text, $source) = @_;
    my ($number, $dashes) = (0, 0);
    for my $line (split /\n/, $source) {
        $number++;
        if ($dashes < 2) { $dashes++ if $line eq '---'; next }
        # Manual pages: the markup of roff.
        $line =~ s/\\f.//g;
        $line =~ s/\\-/-/g;
        $text->end if $line =~ /^\s*(?:$|-|\.)/;
        $text->add($number, $line);
    }
    $text->end;
}

# comment LINES...: a comment of [number, words]; Markdown in that code blocks are left out.
sub read_comment {
    my ($text, @lines) = @_;
    my $fence;
    for (@lines) {
        my ($number, $words) = @$_;
        if ($words =~ /^\s*```/) { $fence = !$fence; $text->end; next }
        next if $fence;
        $text->end if $words =~ /^\s*(?:$|[-*+]\s|\d+[.)]\s|#)/;
        if ($words =~ /^\s*\|(.*)/) { $text->unit($number, $_) for split /(?<!\\)\|/, $1; next }
        $text->add($number, $words);
    }
    $text->end;
}

sub read_rust {
    my ($text, $source) = @_;
    my ($number, @comment) = (1);
    my $end_comment = sub { read_comment($text, @comment) if @comment; @comment = () };
    while ($source =~ m!\G(?:
        (?<line>//[^\n]*)
        | (?<block>/\*.*?\*/)
        | [bc]?r(?<hashes>\#*)"(?<raw>.*?)"\g{hashes}
        | [bc]?"(?<string>(?:[^"\\]|\\.)*)"
        | b?'(?:\\(?:x..|u\{[^}]*\}|.)|[^\\'\n])'
        | \b(?:fn|mod|struct|enum|union|trait|type|const|static)\ +(?<name>(?:r\#)?\w+)
        | (?<breaks>\n\s*)
        | (?<code>\w+|[^\w/"'\n]+|.)
        )!gxs) {
        if (defined $+{code}) {
            $end_comment->() if @comment && $+{code} =~ /\S/;
            next;
        }
        my ($line, $block, $raw, $string, $name, $breaks) = @+{qw(line block raw string name breaks)};
        my $whole = $&;
        if (defined $line) {
            my ($kind, $words) = $line =~ m{^(//[/!]?)(.*)$};
            $end_comment->() if @comment && $comment[-1][2] ne $kind;
            push @comment, [ $number, $words, $kind ];
        } elsif (defined $breaks) {
            $end_comment->() if $breaks =~ tr/\n// > 1;
        } else {
            $end_comment->();
            if (defined $block) {
                my $at = $number;
                read_comment($text, map { s/^\s*\*\s//; [ $at++, $_ ] } split /\n/, substr $block, 2, -2);
            } elsif (defined $name) {
                $text->name($number, $name);
            } elsif (defined $raw || defined $string) {
                read_literal($text, $number, $raw // $string, defined $string);
            }
        }
        $number += $whole =~ tr/\n//;
    }
    $end_comment->();
}

# A string literal of Rust; with `escapes`, \n ends a unit and a backslash at the end of a line joins it with the next.
sub read_literal {
    my ($text, $number, $literal, $escapes) = @_;
    $text->end;
    for my $line (split /\n/, $literal) {
        $line =~ s/\\$// if $escapes;
        $text->end if $line =~ /^\s*(?:$|-)/;
        my @parts = $escapes ? split(/(?<!\\)\\[nrt0]/, $line, -1) : ($line);
        for my $index (0 .. $#parts) {
            my $part = $parts[$index];
            $part =~ s/\\(["'\\])/$1/g if $escapes;
            $text->end if $index;
            $text->add($number, $part);
        }
        $number++;
    }
    $text->end;
}

# Everything else: successive lines that are comments and nothing else are one text, each other line is one.
sub read_lines {
    my ($text, $source, $comment) = @_;
    my ($number, @comment) = (0);
    for my $line (split(/\n/, $source), '') {
        $number++;
        if ($line =~ /^\s*(?:$comment)(.*)$/ && $line !~ /^#!/) {
            push @comment, [ $number, $1 ];
            next;
        }
        read_comment($text, splice @comment) if @comment;
        $text->unit($number, $line);
    }
}

1;
